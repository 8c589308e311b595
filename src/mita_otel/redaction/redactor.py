"""The redaction boundary: takes any value and returns one that is safe to send."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from mita_otel import environment_variables as variables
from mita_otel.errors import raise_interrupt
from mita_otel.policy import Policy, default_policy
from mita_otel.policy.redaction import RedactionPolicy
from mita_otel.redaction.encoding import encodable
from mita_otel.redaction.known_secrets import Findings, TraceSecrets
from mita_otel.redaction.log_messages import SafeMessage
from mita_otel.redaction.marker import ERROR, REMOVED, Markers

if TYPE_CHECKING:
    from mita_otel.redaction.compiled_rules import CompiledRules
    from mita_otel.redaction.keys import KeyRules

T = TypeVar("T")
Tally = Counter[str]


class Redactor:
    """Redacts secrets in values, by name and by format.

    Safe to use from several threads. It never raises: a value that it cannot handle is replaced. Each method takes a
    `tally`, which counts the redacted values by rule.

    Args:
        policy: A policy or its section: what is secret, and how it is replaced. None: the default policy; no file
            is read.
        hmac_key: Key of the `hmac` mode. None: the value of `MITA_OTEL_HMAC_KEY`. Without a key that mode masks.
        step: Called between the parts of an event, so that a background thread can pause. None: nothing is called.

    Raises:
        ConfigurationError: A custom rule's entry point does not exist, or cannot be imported.

    Example:
        >>> Redactor().text("card 4111 1111 1111 1111 declined")
        'card [redacted:pan] declined'
    """

    def __init__(
        self,
        policy: Policy | RedactionPolicy | None = None,
        *,
        hmac_key: bytes | None = None,
        step: Callable[[], None] | None = None,
    ) -> None:
        policy = default_policy() if policy is None else policy
        policy = policy.redaction if isinstance(policy, Policy) else policy
        self.policy = policy
        if hmac_key is None:
            hmac_key = os.environ.get(variables.HMAC_KEY, "").encode()
        self._markers = Markers(policy.modes, hmac_key)
        self._step = step
        self._traces = TraceSecrets(policy.known, self._markers.write)
        self._rules: CompiledRules | None = None
        if policy.custom:
            self.compile()

    def compile(self) -> CompiledRules:
        """Compile the rules of the policy now, not with the first value: it takes about 0.1 s.

        Threads that do so at the same time compile the same rules, and no thread waits for a lock.
        """
        if self._rules is None:
            from mita_otel.redaction.compiled_rules import CompiledRules

            self._rules = CompiledRules(self.policy, self._markers, self._step)
        return self._rules

    @property
    def is_compiled(self) -> bool:
        """Whether the rules are compiled."""
        return self._rules is not None

    @property
    def keys(self) -> KeyRules:
        """Which names are sensitive."""
        return self.compile().keys

    def attributes(self, attributes: Mapping[str, Any], tally: Tally | None = None) -> dict[str, Any]:
        """Return a copy of the attributes that is safe to send. Values may be nested."""
        return self._guard(
            dict, {}, attributes, tally, lambda rules, it, counts: rules.values.mapping(it, counts)
        )

    def value(self, key: str, value: Any, tally: Tally | None = None) -> Any:
        """Return the value under a name, safe to send. A value that is to be removed becomes None."""
        result = self._guard(
            _same, ERROR, value, tally, lambda rules, it, counts: rules.values.value(key, it, counts)
        )
        return None if result is REMOVED else result

    def text(self, text: str, tally: Tally | None = None) -> str:
        """Return a redacted text: natural language, JSON, a form, a stack trace, a URL."""
        return self._guard(_same, ERROR, text, tally, lambda rules, it, counts: rules.values.text(it, counts))

    def message(self, template: str, arguments: Any, tally: Tally | None = None) -> SafeMessage:
        """Return a log message that is safe to send, its arguments judged with the words before them.

        Args:
            template: The message with `%s` or `{}` for each argument.
            arguments: The arguments: a tuple, a list, or a mapping of names.
            tally: Counts what was redacted, by rule.

        Example:
            >>> Redactor().message("cvv %s wrong for %s", ("737", "ada"))
            SafeMessage(template='cvv %s wrong for %s', arguments=('[redacted:cvv]', 'ada'))
        """
        return self._guard(
            lambda _: SafeMessage(template, arguments),
            SafeMessage(ERROR, _withheld(arguments)),
            arguments,
            tally,
            lambda rules, it, counts: rules.values.messages.redact(template, it, counts),
        )

    def sql(self, statement: str, tally: Tally | None = None, *, dialect: str | None = None) -> str:
        """Return a database statement with `?` for each literal.

        Args:
            statement: One statement or several.
            tally: Counts what was redacted, by rule.
            dialect: `db.system.name`, if known.
        """
        return self._guard(
            _same,
            ERROR,
            statement,
            tally,
            lambda rules, it, counts: rules.values.sql(it, counts, dialect=dialect),
        )

    def url(self, url: str, tally: Tally | None = None) -> str:
        """Return a URL, or a part of one, without credentials, secret parameters and numbers in its path."""
        return self.text(url, tally)

    def event(self, event: Mapping[str, Any], tally: Tally | None = None) -> dict[str, Any]:
        """Return a Sentry event that is safe to send."""
        return self._guard(
            dict,
            {},
            event,
            tally,
            lambda rules, it, counts: rules.events.redact(it, counts),
            trace_id=_trace_id_of,
        )

    def find(self, text: str) -> list[tuple[int, int, str]]:
        """Return what would be redacted in a flat text: start, end, rule."""
        return [(hit.start, hit.end, hit.rule) for hit in self.compile().natural_language.hits(text)]

    def findings(self, trace_id: int | None = None) -> Findings:
        """Return an empty tally that also remembers the secrets of one event, to redact them in all parts of it.

        Pass it to the methods for each part of the event. A part that was redacted before a secret was found in
        another one is to be redacted again.

        Args:
            trace_id: The trace that the event belongs to, whose secrets are remembered from event to event.
        """
        return Findings(self._traces.of(trace_id))

    def knows_secrets_of(self, trace_id: int) -> bool:
        """Return whether a secret was found in an event of the trace, so that its earlier ones are to be redacted again."""
        return trace_id in self._traces

    def _guard(
        self,
        untouched: Callable[[Any], T],
        withheld: T,
        value: Any,
        tally: Tally | None,
        redact: Callable[[CompiledRules, Any, Tally], T],
        *,
        trace_id: Callable[[Any], int | None] = lambda _: None,
    ) -> T:
        """Return the result of `redact`; if it fails, `withheld`."""
        if not self.policy.enabled:
            return untouched(encodable(value, Counter() if tally is None else tally))
        findings = tally if isinstance(tally, Findings) else self.findings(trace_id(value))
        try:
            safe = redact(self._rules or self.compile(), value, findings)
            if findings.known:
                safe = findings.known.redact(safe, findings)
        except BaseException as error:  # noqa: BLE001 - fail closed
            raise_interrupt(error)
            findings["error"] += 1
            safe = withheld
        if tally is not None and tally is not findings:
            tally.update(findings)
        return safe


def _trace_id_of(event: Any) -> int | None:
    """Return the trace that an event belongs to, or None."""
    try:
        return int(event["contexts"]["trace"]["trace_id"], 16)
    except BaseException as error:  # noqa: BLE001 - any object may come here
        raise_interrupt(error)
        return None


def _same(value: Any) -> Any:
    return value


def _withheld(arguments: Any) -> Any:
    """Return as many arguments that show nothing."""
    if isinstance(arguments, Mapping):
        return dict.fromkeys(arguments, ERROR)
    return tuple(ERROR for _ in arguments) if isinstance(arguments, (list, tuple)) else ERROR
