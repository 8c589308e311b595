"""A secret that a rule found in one place of an event is redacted wherever it occurs again in it.

A name or a format shows a secret in one place: `password='…'`. Elsewhere the same characters have no name beside
them: `row = ('ada', '…', 1)`. Bounds on length and variety keep everyday values from being redacted everywhere.
"""

from __future__ import annotations

import functools
import json
import re
import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from typing import Any, Final
from urllib.parse import quote

from mita_otel.policy.redaction import KnownSecretsPolicy
from mita_otel.redaction.finders.value_bounds import has_digit, looks_random
from mita_otel.redaction.marker import MARKER

_LONGEST: Final = 512
_MIN_DIGITS: Final = 6
_MIN_DIFFERENT: Final = 4
_MIN_WORD: Final = 8
_WHOLE: Final = frozenset({("", ""), ("'", "'"), ('"', '"'), ("`", "`")})
"""Characters on both sides of a whole value: none, or quotes."""
_SELF_EVIDENT: Final = 16
"""From this length on, a secret is redacted inside longer words too."""
_CHOSEN: Final = frozenset({"password", "otp", "cookie", "url_credentials"})
"""Rules whose secrets people choose: they need not look random."""
_BYTES: Final = re.compile(r"\A(?:b|B|u|r|rb|br|bytearray\(b)(?=[\"'])")
"""Before the quotes of bytes."""
_COOKIE: Final = re.compile(r"(?:^|;)\s{0,4}[^=;\s]{1,128}=([^;]+)")
_CLASSES: Final = (str.islower, str.isupper, str.isdigit, lambda char: not char.isalnum())

Write = Callable[[str, str], str]
"""Returns the replacement of a secret, by its rule."""


class KnownSecrets:
    """The secrets that were found in one event or trace. Bounded; they are never written anywhere.

    Args:
        policy: Bounds.
        write: Returns the replacement of a secret.
        on_first: Called when the first secret is noted.
    """

    def __init__(
        self, policy: KnownSecretsPolicy, write: Write, on_first: Callable[[KnownSecrets], None] | None = None
    ) -> None:
        self._policy = policy
        self._write = write
        self._on_first = on_first
        self._rules: dict[str, str] = {}
        self._words: set[str] = set()
        """Secrets of letters alone: they are redacted where they are a whole value or a quoted one."""

    def __len__(self) -> int:
        return len(self._rules)

    def note(self, rule: str, value: str) -> None:
        """Remember what is secret in a value that a rule redacted, if it is distinctive enough."""
        if rule in self._policy.except_rules:
            return
        for secret in _secrets_in(rule, value):
            is_word = rule in _CHOSEN and secret.isalpha() and len(secret) >= _MIN_WORD
            if not is_word and not self._is_distinctive(rule, secret):
                continue
            for spelling in _spellings(secret):
                if len(self._rules) >= self._policy.max_secrets:
                    return
                if not self._rules and self._on_first is not None:
                    self._on_first(self)
                self._rules.setdefault(spelling, rule)
                if is_word:
                    self._words.add(spelling)

    def _is_distinctive(self, rule: str, secret: str) -> bool:
        if not self._policy.min_length <= len(secret) <= _LONGEST or len(set(secret)) < _MIN_DIFFERENT:
            return False
        if MARKER.search(secret):
            return False
        if secret.isdigit():
            return len(secret) >= _MIN_DIGITS
        if rule in _CHOSEN:
            return not secret.isalpha() and sum(any(map(belongs, secret)) for belongs in _CLASSES) > 1
        return looks_random(secret) or (has_digit(secret) and len(secret) >= _SELF_EVIDENT)

    def redact(self, value: Any, tally: Counter[str]) -> Any:
        """Return a value of any nesting without the known secrets; the same object if none occurs."""
        if isinstance(value, str):
            return self.redact_text(value, tally)
        if isinstance(value, bytes):
            text = value.decode("latin-1")
            safe = self.redact_text(text, tally)
            return value if safe is text else safe.encode("latin-1", "replace")
        if isinstance(value, Mapping):
            return {self.redact(key, tally): self.redact(member, tally) for key, member in value.items()}
        if isinstance(value, tuple):
            members = (self.redact(member, tally) for member in value)
            return type(value)(*members) if hasattr(value, "_fields") else tuple(members)
        if isinstance(value, (list, AbstractSet)):
            return type(value)(self.redact(member, tally) for member in value)  # type: ignore[call-arg]
        if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 10**_MIN_DIGITS:
            return self._number(value, tally)
        return value

    def redact_text(self, text: str, tally: Counter[str]) -> str:
        """Return a text without the known secrets; the same object if none occurs."""
        for secret, rule in sorted(self._rules.items(), key=lambda one: -len(one[0])):
            if secret in text:
                text = self._without(text, secret, rule, tally)
        return text

    def _number(self, value: int, tally: Counter[str]) -> Any:
        rule = self._rules.get(str(abs(value))) if abs(value) < 10**_LONGEST else None
        if rule is None:
            return value
        tally[rule] += 1
        return self._write(rule, str(abs(value)))

    def _occurs(self, text: str, secret: str, start: int, end: int) -> bool:
        """Return whether the secret occurs there as a separate value, not as part of a word."""
        before, after = text[max(0, start - 1) : start], text[end : end + 1]
        if secret in self._words:
            return (before, after) in _WHOLE
        return len(secret) >= _SELF_EVIDENT or not (before.isalnum() or after.isalnum())

    def _without(self, text: str, secret: str, rule: str, tally: Counter[str]) -> str:
        pieces: list[str] = []
        position = 0
        start = text.find(secret)
        while start >= 0:
            end = start + len(secret)
            if self._occurs(text, secret, start, end):
                pieces += (text[position:start], self._write(rule, secret))
                tally[rule] += 1
                position = end
            start = text.find(secret, end)
        return "".join((*pieces, text[position:])) if pieces else text


class Findings(Counter[str]):
    """What was redacted in one event: how many values, by rule, and while it is processed, which ones.

    Args:
        known: The secrets that are known before, of the same trace.
    """

    def __init__(self, known: KnownSecrets) -> None:
        super().__init__()
        self.known = known


class TraceSecrets:
    """The secrets of traces under way. The trace that was asked for longest ago is forgotten first.

    Args:
        policy: Bounds.
        write: Returns the replacement of a secret.
    """

    def __init__(self, policy: KnownSecretsPolicy, write: Write) -> None:
        self._policy = policy
        self._write = write
        self._traces: OrderedDict[int, KnownSecrets] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, trace_id: int | None) -> KnownSecrets:
        """Return the known secrets of a trace; without an id, those of one event."""
        if not trace_id:
            return KnownSecrets(self._policy, self._write)
        with self._lock:
            known = self._traces.get(trace_id)
            if known is not None:
                self._traces.move_to_end(trace_id)
                return known
        return KnownSecrets(self._policy, self._write, functools.partial(self._remember, trace_id))

    def __contains__(self, trace_id: int) -> bool:
        return trace_id in self._traces

    def _remember(self, trace_id: int, known: KnownSecrets) -> None:
        with self._lock:
            self._traces[trace_id] = known
            if len(self._traces) > self._policy.max_traces:
                self._traces.popitem(last=False)


def note(tally: Counter[str], rule: str, secret: str) -> None:
    """Count a value that a rule redacts, and remember it for the rest of the event."""
    tally[rule] += 1
    if isinstance(tally, Findings):
        tally.known.note(rule, secret)


def _secrets_in(rule: str, value: str) -> Iterator[str]:
    """Yield the secret parts of what a rule redacts as a whole."""
    value = value.strip()
    value = _BYTES.sub("", value)
    if len(value) > 1 and value[0] in "\"'`" and value[-1] == value[0]:  # the repr of a local variable
        value = value[1:-1]
    if rule == "cookie" and "=" in value:
        yield from (match[1].strip() for match in _COOKIE.finditer(value[: _LONGEST * 8]))
    elif rule == "authorization":
        yield value.rpartition(" ")[2]
    elif rule == "url_credentials":
        yield value.partition(":")[2] or value
    else:
        yield value
        if any(char in value for char in " -."):
            compact = "".join(filter(str.isalnum, value))
            if compact.isdigit():
                yield compact


def _spellings(secret: str) -> set[str]:
    """Return a secret as it is, percent-encoded, and escaped as in JSON."""
    return {secret, quote(secret, safe="", errors="replace"), json.dumps(secret)[1:-1]}
