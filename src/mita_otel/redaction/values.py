"""Redacts values of any type and nesting: by their name, else by their content."""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import json
import re
import uuid
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Final

from mita_otel import semconv
from mita_otel.errors import raise_interrupt
from mita_otel.policy.redaction import RedactionPolicy
from mita_otel.redaction.encoding import encodable_number, encodable_text
from mita_otel.redaction.finders.card_values import SMALLEST_CARD, CardValues
from mita_otel.redaction.finders.command_line import CommandFinder
from mita_otel.redaction.keys import PLAIN, KeyRules, KeyVerdict
from mita_otel.redaction.known_secrets import note
from mita_otel.redaction.log_messages import LogMessages, logged_arguments
from mita_otel.redaction.marker import DEPTH, ERROR, REMOVED, TYPE, Markers, shows_nothing
from mita_otel.redaction.remembered_texts import BenignTexts, MaskedStatements
from mita_otel.redaction.structures import NOT_JSON, Names, is_report, parse_json
from mita_otel.redaction.texts import Texts, blank_ids, stands_for_all

_LONGEST_REMEMBERED: Final = 4096
_NUMBERS: Final = (int, float, decimal.Decimal)
_LONGEST_OWNER: Final = 64
_OPTION: Final = re.compile(r"--?[A-Za-z][\w\-]{1,63}")
"""An option of a command line; the next member of the list is its value."""
_PAIR: Final = 2
Tally = Counter[str]


class Values:
    """Redacts nested values.

    Args:
        policy: Bounds.
        keys: Which names are sensitive.
        markers: Write the replacements.
        texts: Redact the texts in them.
        commands: Finds secrets in the arguments of commands.
    """

    def __init__(
        self,
        policy: RedactionPolicy,
        keys: KeyRules,
        markers: Markers,
        texts: Texts,
        commands: CommandFinder,
    ) -> None:
        self._policy = policy
        self._keys = keys
        self._markers = markers
        self._texts = texts
        self._commands = commands
        self._cards = CardValues(markers)
        self.messages = LogMessages(texts.natural_language, self.value)
        """Redacts log messages with their arguments."""
        self._benign = BenignTexts(policy.max_cached)
        # A custom pattern may depend on any digit.
        each = not policy.max_cached or any(rule.pattern or rule.finder for rule in policy.custom.values())
        self._blank = _same if each else blank_ids
        self._statements = MaskedStatements(texts.sql, policy.max_cached)

    def mapping(
        self,
        mapping: Mapping[Any, Any],
        tally: Tally,
        depth: int = 0,
        parent: str | None = None,
        owner: str | None = None,
    ) -> dict[Any, Any]:
        """Return a redacted copy of a mapping.

        Below a sensitive `parent`, names are judged with it in front. Below another name, the `owner`, they are if
        both together are sensitive: `passport`, `number`.
        """
        safe: dict[Any, Any] = {}
        known, benign = self._keys.known, self._benign.young
        blank, remember = self._blank, self._benign.add
        system = mapping.get("db.system.name") or mapping.get("db.system")
        names = Names(mapping)
        logged = self._logged(mapping, tally)
        plain_names = parent is None and owner is None and names.plain
        for index, (key, value) in enumerate(mapping.items()):
            if index >= self._policy.max_items:
                tally["items"] += len(mapping) - index
                break
            # The short way: a name that is not sensitive, and a value that is known to be benign.
            if plain_names and key in benign and known.get(key) is PLAIN:
                kind = type(value)
                if (kind is str and (value in benign or (blank(value) in benign and remember(value)))) or (
                    (kind is int or kind is float) and -SMALLEST_CARD < value < SMALLEST_CARD
                ):
                    safe[key] = value
                    continue
            try:
                name = self._name(names.of(key), parent, owner)
                result = logged[key] if key in logged else self.value(name, value, tally, depth, system)
                safe_key = self._key(key, tally)
            except BaseException as error:  # noqa: BLE001 - one value that cannot be redacted does not withhold the others
                raise_interrupt(error)
                tally["error"] += 1
                safe_key, result = ERROR, ERROR
            if result is not REMOVED:
                safe[safe_key] = result
        return safe

    def _logged(self, mapping: Mapping[Any, Any], tally: Tally) -> Mapping[Any, Any]:
        """Return the redacted members of a log message in a mapping: its template and its arguments."""
        found = logged_arguments(mapping)
        return (
            {}
            if found is None
            else found.members(self.messages.redact(found.template, found.arguments, tally))
        )

    def _name(self, name: str, parent: str | None, owner: str | None) -> str:
        """Return the name by which a value is judged."""
        if parent is not None:
            return f"{parent}.{name}"
        if owner is None or self._keys.judge(name).rule is not None:
            return name
        together = f"{owner[-_LONGEST_OWNER:]}.{name}"
        return together if self._keys.judge(together).rule else name

    def value(self, key: str, value: Any, tally: Tally, depth: int = 0, system: Any = None) -> Any:
        """Return the redacted value of a name, or `REMOVED`."""
        if key == semconv.REDACTED_RULES and is_report(value):
            return value
        verdict = self._keys.judge(key)
        if verdict.rule is not None:
            return self._secret(key, verdict, verdict.rule, value, tally, depth)
        if verdict.place == "sql":
            return self._statement(value, tally, depth, system if isinstance(system, str) else None)
        if isinstance(value, str):
            return value if value in self._benign else self.text(value, tally, depth)
        return self.plain(value, tally, depth, key)

    def _statement(self, value: Any, tally: Tally, depth: int, dialect: str | None) -> Any:
        """Return one statement or several without their literals."""
        if isinstance(value, str):
            return self.sql(value, tally, depth, dialect)
        if isinstance(value, bytes):
            return self.sql(value.decode("utf-8", "replace"), tally, depth, dialect).encode()
        if isinstance(value, (list, tuple)) and depth < self._policy.max_depth:
            safe = [
                self._statement(one, tally, depth + 1, dialect) for one in value[: self._policy.max_items]
            ]
            return tuple(safe) if isinstance(value, tuple) else safe
        return self.plain(value, tally, depth)

    def plain(self, value: Any, tally: Tally, depth: int = 0, owner: str | None = None) -> Any:
        """Return a redacted value whose name, the `owner`, is not sensitive."""
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, str):
            text = str.__str__(value)
            safe_text = self.text(text, tally, depth)
            return value if safe_text is text else safe_text
        if isinstance(value, _NUMBERS):
            number = self._cards.number(value, tally)
            return self.text(number, tally, depth) if isinstance(number, str) else number
        if isinstance(value, (bytes, bytearray, memoryview)):
            return self._bytes(bytes(value), tally, depth)
        if isinstance(value, (Mapping, list, tuple, AbstractSet)):
            if depth >= self._policy.max_depth:
                tally["depth"] += 1
                return DEPTH
            if isinstance(value, Mapping):
                return self.mapping(value, tally, depth + 1, owner=owner)
            return self._sequence(None, value, tally, depth + 1, owner)
        if isinstance(value, (dt.date, dt.time, dt.timedelta)):
            return value
        if isinstance(value, (uuid.UUID, enum.Enum)):
            shown = str(value)
            return value if self.text(shown, tally, depth) is shown else TYPE
        tally["type"] += 1
        return TYPE

    def text(self, text: str, tally: Tally, depth: int = 0) -> str:
        """Return a redacted text; the same object if it has no secret."""
        if text in self._benign:
            return text
        text = encodable_text(text, tally)
        blanked = self._blank(text)
        if blanked is not text and self._is_benign(blanked, depth):
            self._benign.add(text)
            return text
        safe = self._look(text, tally, depth)
        if safe is text and len(text) <= _LONGEST_REMEMBERED:
            self._benign.add(text)
        return safe

    def _is_benign(self, blanked: str, depth: int) -> bool:
        """Return whether a text has no secret, whatever ids it contains."""
        if blanked in self._benign:
            return True
        if not stands_for_all(blanked) or self._look(blanked, Counter(), depth) is not blanked:
            return False
        self._benign.add(blanked)
        return True

    def _look(self, text: str, tally: Tally, depth: int) -> str:
        safe = self._json(text, tally, depth)
        return self._texts.text(text, tally) if safe is None else safe

    def sql(self, statement: str, tally: Tally, depth: int = 0, dialect: str | None = None) -> str:
        """Return a database statement without its literals; the same object if it has none."""
        statement = encodable_text(statement, tally)
        safe = self._json(statement, tally, depth)
        return self._statements.mask(statement, tally, dialect) if safe is None else safe

    def _key(self, key: Any, tally: Tally) -> Any:
        if isinstance(key, str):
            return self.text(key, tally, self._policy.max_depth)
        return self.plain(key, tally, self._policy.max_depth)

    def _secret(self, key: str, verdict: KeyVerdict, rule: str, value: Any, tally: Tally, depth: int) -> Any:
        """Return the replacement of a value whose name is sensitive."""
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, (Mapping, list, tuple, AbstractSet)) and depth < self._policy.max_depth:
            if isinstance(value, Mapping):
                return self.mapping(value, tally, depth + 1, key)
            return self._sequence(key, value, tally, depth + 1)
        if isinstance(value, (bytes, bytearray, memoryview)):
            text = bytes(value).decode("utf-8", "replace")
        else:
            value = encodable_number(value, tally)
            text = value if isinstance(value, str) else str(value)
        if self._keys.is_benign(key, verdict, text):
            return self.plain(value, tally, depth)
        if shows_nothing(rule, text):
            return value
        note(tally, rule, text)
        return REMOVED if self._markers.mode(rule) == "remove" else self._markers.write(rule, text)

    def _sequence(
        self, key: str | None, values: Iterable[Any], tally: Tally, depth: int, owner: str | None = None
    ) -> Any:
        members: Sequence[Any] = list(values)
        safe: list[Any] = []
        if len(members) > self._policy.max_items:
            tally["items"] += len(members) - self._policy.max_items
            members = members[: self._policy.max_items]
        if key is None:
            members = self._command(self._cards.parts(self._cards.companions(members, tally), tally), tally)
        pairs = key is None and bool(members) and all(map(_is_pair, members))
        option: str | None = None
        for member in members:
            if option is not None and isinstance(member, str):
                result, option = self.value(option, member, tally, depth), None
            elif pairs:
                result = self._pair(member, tally, depth)
            else:
                result = (
                    self.plain(member, tally, depth, owner)
                    if key is None
                    else self.value(key, member, tally, depth)
                )
            if result is not REMOVED:
                safe.append(result)
            option = member if isinstance(member, str) and _OPTION.fullmatch(member) else None
        return tuple(safe) if isinstance(values, tuple) else safe

    def _command(self, members: Sequence[Any], tally: Tally) -> Sequence[Any]:
        """Return the arguments of a command without the secrets that the program expects at their place."""
        if len(members) < _PAIR or not all(isinstance(member, str) for member in members):
            return members
        found = self._commands.in_arguments(members)
        if not found:
            return members
        safe = list(members)
        for index, hit in found.items():
            note(tally, hit.rule, members[index][hit.start : hit.end])
            marker = self._markers.write(hit.rule, members[index][hit.start : hit.end])
            safe[index] = members[index][: hit.start] + marker + members[index][hit.end :]
        return safe

    def _pair(self, pair: Any, tally: Tally, depth: int) -> Any:
        """Return a redacted pair of name and value, as in the headers of ASGI and WSGI."""
        name, value = pair
        text = name.decode("latin-1") if isinstance(name, bytes) else name
        result = self.value(text, value, tally, depth)
        if result is REMOVED:
            return REMOVED
        safe = (self.plain(name, tally, depth), result)
        return safe if isinstance(pair, tuple) else list(safe)

    def _bytes(self, value: bytes, tally: Tally, depth: int) -> bytes:
        encoding = "utf-8"
        try:
            text = value.decode(encoding)
        except UnicodeDecodeError:
            encoding = "latin-1"
            text = value.decode(encoding)
        safe = self.text(text, tally, depth)
        return value if safe is text else safe.encode(encoding, "replace")

    def _json(self, text: str, tally: Tally, depth: int) -> str | None:
        """Return redacted JSON, or None if the text is not JSON."""
        value = NOT_JSON if len(text) > self._policy.max_text else parse_json(text)
        if value is NOT_JSON:
            return None
        if depth >= self._policy.max_depth:
            tally["depth"] += 1
            return DEPTH
        before = tally.total()
        safe = self.plain(value, tally, depth + 1)
        return text if tally.total() == before else json.dumps(safe, ensure_ascii=False)


def _same(text: str) -> str:
    return text


def _is_pair(member: Any) -> bool:
    return isinstance(member, (list, tuple)) and len(member) == _PAIR and isinstance(member[0], (str, bytes))
