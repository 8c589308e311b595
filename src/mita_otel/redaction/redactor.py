"""The only door out: takes any value, and returns one that is safe to send."""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import json
import os
import uuid
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Final

from mita_otel.policy.redaction import RedactionPolicy
from mita_otel.redaction.banking import find_accounts, find_ibans, find_identities
from mita_otel.redaction.cards import find_card_secrets, find_cards, is_card_number
from mita_otel.redaction.credentials import find_credentials
from mita_otel.redaction.hit import Finder, Hit
from mita_otel.redaction.keys import KeyRules, KeyVerdict
from mita_otel.redaction.marker import MARKER, Markers
from mita_otel.redaction.memory import BenignTexts
from mita_otel.redaction.messages import MessageFinder, statements
from mita_otel.redaction.pairs import PairFinder, reads_like_number
from mita_otel.redaction.personal import find_emails, find_ips
from mita_otel.redaction.scanner import Scanner
from mita_otel.redaction.sql import mask_literals
from mita_otel.redaction.urls import find_url_secrets

HMAC_KEY_VARIABLE: Final = "MITA_OTEL_HMAC_KEY"
_SMALLEST_CARD: Final = 10**11
_LONGEST_CACHED: Final = 4096
_MARGIN: Final = 512
"""Characters after the cut that are looked at, so that a secret on the edge is found whole."""
_HIDDEN: Final = frozenset({"[Filtered]", "[REDACTED]", "[redacted]", "<redacted>"})
_NUMBERS: Final = (int, float, decimal.Decimal)
_REMOVED: Final = object()

Tally = Counter[str]


class Redactor:
    """Takes secrets out of values: by the name they go under, and by what they look like.

    Pure and safe to use from several threads. It never raises: what it cannot handle it replaces.

    Args:
        policy: What is secret, and what stands in its place.
        hmac_key: Key of the `hmac` mode; without one that mode masks.

    Example:
        >>> Redactor(default_policy().redaction).text("card 4111 1111 1111 1111 declined")
        'card [redacted:pan] declined'
    """

    def __init__(self, policy: RedactionPolicy, *, hmac_key: bytes | None = None) -> None:
        self.policy = policy
        self._markers = Markers(policy.modes, hmac_key)
        self._keys = KeyRules(policy.keys)
        shapes: list[Finder] = [
            find_cards, find_card_secrets, find_ibans, find_identities, find_accounts, find_credentials, find_url_secrets,
        ]  # fmt: skip
        if self._markers.mode("email") != "off":
            shapes.append(find_emails)
        if self._markers.mode("ip") != "off":
            shapes.append(find_ips)
        self._shapes = Scanner(shapes, self._markers)
        self._all = Scanner([*shapes, PairFinder(self._keys), MessageFinder(self._keys)], self._markers)
        self._benign = BenignTexts(policy.max_cached)
        self._benign_sql = BenignTexts(policy.max_cached)

    @classmethod
    def from_environment(cls, policy: RedactionPolicy, env: Mapping[str, str] | None = None) -> Redactor:
        """Return a redactor whose `hmac` key is that of `MITA_OTEL_HMAC_KEY`."""
        key = (os.environ if env is None else env).get(HMAC_KEY_VARIABLE, "")
        return cls(policy, hmac_key=key.encode() or None)

    def attributes(self, attributes: Mapping[str, Any], tally: Tally | None = None) -> dict[str, Any]:
        """Return a copy of the attributes that is safe to send.

        Args:
            attributes: Values by name; values may be nested.
            tally: Counts what was redacted, by rule.
        """
        tally = Counter() if tally is None else tally
        try:
            return self._attributes(attributes, tally)
        except Exception:  # noqa: BLE001 - fail closed
            tally["error"] += 1
            return {}

    def value(self, key: str, value: Any, tally: Tally | None = None) -> Any:
        """Return the value under a name, safe to send. A value that is to be removed becomes None."""
        tally = Counter() if tally is None else tally
        result = self._guarded(lambda: self._value(key, value, tally, 0, None), tally)
        return None if result is _REMOVED else result

    def text(self, text: str, tally: Tally | None = None) -> str:
        """Return any text, safe to send: prose, JSON, a form, a stack trace, a URL."""
        tally = Counter() if tally is None else tally
        return str(self._guarded(lambda: self._text(text, tally, 0), tally))

    def sql(self, statement: str, tally: Tally | None = None, *, dialect: str | None = None) -> str:
        """Return a database statement with `?` for each literal.

        Args:
            statement: One statement or several.
            tally: Counts what was redacted, by rule.
            dialect: `db.system.name`, if known.
        """
        tally = Counter() if tally is None else tally
        return str(self._guarded(lambda: self._sql(statement, tally, 0, dialect), tally))

    def url(self, url: str, tally: Tally | None = None) -> str:
        """Return a URL, or a part of one, without credentials, secret parameters and numbers in its path."""
        return self.text(url, tally)

    def event(self, event: Mapping[str, Any], tally: Tally | None = None) -> dict[str, Any]:
        """Return a Sentry event that is safe to send."""
        tally = Counter() if tally is None else tally
        try:
            return self._attributes(event, tally)
        except Exception:  # noqa: BLE001 - fail closed
            tally["error"] += 1
            return {}

    def _guarded(self, redact: Callable[[], Any], tally: Tally) -> Any:
        try:
            return redact()
        except Exception:  # noqa: BLE001 - fail closed: a value that cannot be looked at does not leave
            tally["error"] += 1
            return "[redacted:error]"

    def _attributes(self, attributes: Mapping[str, Any], tally: Tally) -> dict[str, Any]:
        if not self.policy.enabled:
            return dict(attributes)
        return self._mapping(attributes, tally, 0, None)

    # --- nested values ------------------------------------------------------------------------------

    def _mapping(
        self, mapping: Mapping[Any, Any], tally: Tally, depth: int, parent: str | None
    ) -> dict[Any, Any]:
        safe: dict[Any, Any] = {}
        system = mapping.get("db.system.name") or mapping.get("db.system")
        for index, (key, value) in enumerate(mapping.items()):
            if index >= self.policy.max_items:
                tally["items"] += len(mapping) - index
                break
            name = key if isinstance(key, str) else str(key)
            full = name if parent is None else f"{parent}.{name}"
            try:
                result = self._value(full, value, tally, depth, system)
                safe_key = self._key(key, tally)
            except Exception:  # noqa: BLE001 - one value that cannot be looked at does not take the others with it
                tally["error"] += 1
                safe_key, result = "redacted", "[redacted:error]"
            if result is not _REMOVED:
                safe[safe_key] = result
        return safe

    def _key(self, key: Any, tally: Tally) -> Any:
        if isinstance(key, str):
            return key if key in self._benign else self._text(key, tally, self.policy.max_depth)
        return (
            self._number(key, tally)
            if isinstance(key, int)
            else self._plain(key, tally, self.policy.max_depth, None)
        )

    def _sequence(self, key: str, values: Sequence[Any], tally: Tally, depth: int) -> list[Any]:
        safe: list[Any] = []
        for index, value in enumerate(values):
            if index >= self.policy.max_items:
                tally["items"] += len(values) - index
                break
            result = self._value(key, value, tally, depth, None)
            if result is not _REMOVED:
                safe.append(result)
        return safe

    def _value(self, key: str, value: Any, tally: Tally, depth: int, system: Any) -> Any:
        if not self.policy.enabled:
            return value
        verdict = self._keys.judge(key)
        rule = verdict.rule
        if rule is not None and self._markers.mode(rule) != "off":
            return self._secret(key, verdict, rule, value, tally, depth)
        if isinstance(value, str):
            if verdict.place == "sql":
                return self._sql(value, tally, depth, system if isinstance(system, str) else None)
            return value if value in self._benign else self._text(value, tally, depth)
        return self._plain(value, tally, depth, key)

    def _secret(self, key: str, verdict: KeyVerdict, rule: str, value: Any, tally: Tally, depth: int) -> Any:
        """Return what stands for a value whose name says that it is secret."""
        if value is None or isinstance(value, bool) or (isinstance(value, str) and not value.strip()):
            return value
        if isinstance(value, Mapping) and depth < self.policy.max_depth:
            return self._mapping(value, tally, depth + 1, key)
        if isinstance(value, (list, tuple, AbstractSet)) and depth < self.policy.max_depth:
            safe = self._sequence(key, list(value), tally, depth + 1)
            return tuple(safe) if isinstance(value, tuple) else safe
        if verdict.plural and isinstance(value, _NUMBERS):
            return self._plain(value, tally, depth, None)
        text = value if isinstance(value, str) else str(value)
        if verdict.reference and not reads_like_number(text):
            return self._plain(value, tally, depth, None)
        if MARKER.fullmatch(text) or text in _HIDDEN or set(text) <= {"*"}:
            return value
        tally[rule] += 1
        return _REMOVED if self._markers.mode(rule) == "remove" else self._markers.write(rule, text)

    def _plain(self, value: Any, tally: Tally, depth: int, key: str | None) -> Any:
        """Return a value whose name says nothing, by its type."""
        kind = type(value)
        if kind is bool or value is None:
            return value
        if isinstance(value, str):
            safe_text = self._text(str(value), tally, depth)
            return value if safe_text == value else safe_text
        if isinstance(value, _NUMBERS):
            return self._number(value, tally)
        if isinstance(value, (bytes, bytearray, memoryview)):
            return self._bytes(bytes(value), tally, depth)
        if isinstance(value, (Mapping, list, tuple, AbstractSet)):
            if depth >= self.policy.max_depth:
                tally["depth"] += 1
                return "[redacted:depth]"
            if isinstance(value, Mapping):
                return self._mapping(value, tally, depth + 1, None)
            safe = self._sequence(key or "", list(value), tally, depth + 1)
            return tuple(safe) if isinstance(value, tuple) else safe
        if isinstance(value, (dt.date, dt.time, dt.timedelta)):
            return value
        if isinstance(value, (uuid.UUID, enum.Enum)):
            text = str(value)
            return value if self._text(text, tally, depth) == text else "[redacted:value]"
        tally["type"] += 1
        return "[redacted:type]"

    def _number(self, value: Any, tally: Tally) -> Any:
        if (
            -_SMALLEST_CARD < value < _SMALLEST_CARD
            or value != value
            or value in (float("inf"), float("-inf"))
        ):
            return value
        whole = int(value)
        if (
            whole == value
            and whole < 10**19
            and is_card_number(str(abs(whole)))
            and self._markers.mode("pan") != "off"
        ):
            tally["pan"] += 1
            return self._markers.write("pan", str(abs(whole)))
        return value

    def _bytes(self, value: bytes, tally: Tally, depth: int) -> bytes:
        encoding = "utf-8"
        try:
            text = value.decode(encoding)
        except UnicodeDecodeError:
            encoding = "latin-1"
            text = value.decode(encoding)
        safe = self._text(text, tally, depth)
        return value if safe is text else safe.encode(encoding, "replace")

    # --- texts --------------------------------------------------------------------------------------

    def _text(self, text: str, tally: Tally, depth: int) -> str:
        if not self.policy.enabled or text in self._benign:
            return text
        safe = self._redact_text(text, tally, depth)
        if safe is text and len(text) <= _LONGEST_CACHED:
            self._benign.add(text)
        return safe

    def _redact_text(self, text: str, tally: Tally, depth: int) -> str:
        if len(text) > self.policy.max_text:
            return self._cut(text, tally)
        json_text = self._json(text, tally, depth)
        if json_text is not None:
            return json_text
        if "[SQL: " in text or "[parameters: " in text:
            return self._with_statements(text, tally, depth)
        return self._all.replace(text, tally)

    def _with_statements(self, text: str, tally: Tally, depth: int) -> str:
        """Return an error message with the statement in it lexed, and its parameters hidden as a whole."""
        pieces: list[str] = []
        position = 0
        for start, end, is_sql in statements(text):
            pieces.append(self._all.replace(text[position:start], tally))
            content = text[start:end]
            if is_sql:
                pieces.append(self._sql(content, tally, depth, None))
            elif content and not MARKER.fullmatch(content) and content not in ("()", "[]", "{}"):
                tally["sql"] += 1
                pieces.append("[redacted:sql]")
            else:
                pieces.append(content)
            position = end
        pieces.append(self._all.replace(text[position:], tally))
        joined = "".join(pieces)
        return text if joined == text else joined

    def _cut(self, text: str, tally: Tally) -> str:
        limit = self.policy.max_text
        head = text[: limit + _MARGIN]
        hits: list[Hit] = []
        for hit in self._all.hits(head):
            if hit.start < limit:
                hits.append(hit)
                limit = max(limit, hit.end)
        tally["length"] += 1
        return self._all.substitute(head[:limit], hits, tally) + "[redacted:length]"

    def _json(self, text: str, tally: Tally, depth: int) -> str | None:
        """Return JSON with what it holds redacted, or None if the text is not JSON that holds anything."""
        stripped = text.strip()
        if not stripped or stripped[0] not in '{["' or stripped[-1] not in '}]"' or MARKER.match(stripped):
            return None
        try:
            value = json.loads(stripped)
        except (ValueError, RecursionError):
            return None
        if depth >= self.policy.max_depth:
            tally["depth"] += 1
            return "[redacted:depth]"
        before = tally.total()
        safe = self._plain(value, tally, depth + 1, None)
        return text if tally.total() == before else json.dumps(safe, ensure_ascii=False)

    def _sql(self, statement: str, tally: Tally, depth: int, dialect: str | None) -> str:
        if not self.policy.enabled or statement in self._benign_sql:
            return statement
        if len(statement) > self.policy.max_text:
            tally["length"] += 1
            return self._sql(statement[: self.policy.max_text], tally, depth, dialect) + "[redacted:length]"
        json_text = self._json(statement, tally, depth)
        if json_text is not None:
            return json_text
        masked, count = mask_literals(statement, dialect)
        if count:
            tally["sql"] += count
        safe = self._shapes.replace(masked, tally)
        if safe == statement and len(statement) <= _LONGEST_CACHED:
            self._benign_sql.add(statement)
        return safe
