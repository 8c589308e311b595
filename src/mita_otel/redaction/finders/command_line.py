"""Secrets on command lines: options of one letter, positions, variables that a command sets, words that `echo` pipes."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from mita_otel.redaction.finders.hit import Finder, Hit
from mita_otel.redaction.finders.value_bounds import ValueShapes, has_digit, looks_random
from mita_otel.redaction.keys import KeyRules
from mita_otel.redaction.marker import MARKER

_WORD: Final = re.compile(
    r"(?<!\w)\"(?P<double>[^\"\n]{1,512})\"(?!\w)|(?<!\w)'(?P<single>[^'\n]{1,512})'(?!\w)|[^\s\"'|;&]+|[|;&\n]"
)
_END: Final = frozenset("|;&\n")
_CONTINUED: Final = "\\"
_LISTED: Final = "[](),"
"""Signs around the words of a command that is written as a list."""
_LONGEST: Final = 512
_LONGEST_TEMPLATE: Final = 5
"""Words of a template, and of a program."""
_SENSITIVE_NAME: Final = "@"
_PLACEHOLDER: Final = re.compile(
    r"\$.*|%\w+%|<[^<>]*>|\{.*\}|\*+|-.*|\[(?:filtered|redacted|hidden).*|[\d.]{1,5}(?::[\d.]{1,5})?(?:/\w{3})?|(?i:x{3,}|none|null)"
)
"""A variable, an omission, the next option, or ports."""
_MIN_SECRET: Final = 3
_PARTS: Final = {"_": "[^{next}]{{1,128}}", "*": "(?P<secret>.{{1,256}})", "~": "[A-Za-z]{{0,4}}"}


Word = tuple[str, int]
"""A word of a command, and where it starts."""
Recent = tuple[Word, ...]
"""The last words of a command."""


class _Template(NamedTuple):
    """The words that a secret is the last one of."""

    before: tuple[re.Pattern[str] | None, ...]
    """A pattern for each word before the secret, the nearest one first; None: a name of a secret."""
    last: re.Pattern[str]
    """The pattern of the word with the secret."""


class CommandFinder:
    """Finds the secrets in commands of known programs.

    Args:
        commands: By program, how its arguments hold a secret. A template is a sequence of words: `*` is the secret, `_`
            is any text, `~` is up to four letters, and `@` is a word that names a secret.
        keys: Which names are sensitive.
        shapes: Which values are words of a sentence.
    """

    def __init__(self, commands: Mapping[str, Iterable[str]], keys: KeyRules, shapes: ValueShapes) -> None:
        self._keys = keys
        self._shapes = shapes
        self._commands = {
            program: tuple(_template(one) for one in templates) for program, templates in commands.items()
        }
        """By one or two words."""
        programs = "|".join(sorted(map(re.escape, self._commands), key=len, reverse=True))
        self._program = re.compile(rf"(?<![\w.\-])(?:{programs})(?![\w\-])") if programs else None
        positional = [
            program for program, listed in commands.items() if any(one[:1] != "-" for one in listed)
        ]
        self._names = tuple(self._commands)
        self.words = (
            *(" -", "\n-", "'-", '"-'),
            *(f"{name.lower()} " if name.isupper() else name for name in positional),
        )
        """One of these is in every text with such a command, in lower case."""

    def __call__(self, text: str) -> Iterator[Hit]:
        """Yield the secrets."""
        if self._program is None or not any(map(text.__contains__, self._names)):
            return
        if (first := self._program.search(text)) is None:
            return
        line = text.rfind("\n", 0, first.start()) + 1
        yield from self._hits(_words(text, line, len(text), is_nested=False))

    def in_arguments(self, arguments: Sequence[str]) -> dict[int, Hit]:
        """Return the secret in each argument of a command that is kept as a list, by position."""
        if not self._is_program(arguments[0]) and not self._is_program(" ".join(arguments[:2])):
            return {}
        starts = [0, *itertools.accumulate(len(one) + 1 for one in arguments)]
        words = zip(arguments, starts, strict=False)
        found: dict[int, Hit] = {}
        for hit in self._hits(words):
            index = next(at for at in range(len(arguments)) if hit.start < starts[at + 1])
            found[index] = Hit(hit.start - starts[index], hit.end - starts[index], hit.rule)
        return found

    def _is_program(self, name: str) -> bool:
        return _base_name(name) in self._commands

    def _hits(self, words: Iterator[Word]) -> Iterator[Hit]:
        """Yield the secrets among words. Linear: each word is compared with the templates of one program."""
        templates: tuple[_Template, ...] = ()
        recent: Recent = (("", 0),) * _LONGEST_TEMPLATE
        previous = ""
        for word, start in words:
            name = word
            if name in _END:
                if previous != _CONTINUED:
                    templates = ()
                continue
            if name != _CONTINUED and ("/" in name or "\\" in name or name[-4:] == ".exe"):
                name = _base_name(name)
            recent = (*recent[1:], (word, start))
            together = f"{previous} {name}"
            if together in self._commands:
                templates = self._commands[together]
            elif name in self._commands:
                templates = self._commands[name]
            previous = name
            for template in templates:
                last = template.last.fullmatch(word)
                if last and (hit := self._secret(template, last, recent)):
                    yield hit

    def _secret(self, template: _Template, last: re.Match[str], recent: Recent) -> Hit | None:
        """Return the secret, if the last words are as the template says."""
        rule = "password"
        at = -1
        for pattern in template.before:
            at -= 1
            word = recent[at][0]
            if pattern is None:
                rule = self._keys.judge(word).rule or ""
            elif pattern.fullmatch(word) is None:
                return None
        start, end = last.span("secret")
        if not rule or not self._is_secret(last["secret"], is_apart=start == 0):
            return None
        return Hit(recent[-1][1] + start, recent[-1][1] + end, rule)

    def _is_secret(self, value: str, *, is_apart: bool) -> bool:
        if len(value) < _MIN_SECRET or _PLACEHOLDER.fullmatch(value) or MARKER.search(value):
            return False
        return not (is_apart and self._shapes.is_ordinary_word(value))


def _template(words: str) -> _Template:
    *before, last = words.split()
    patterns = (None if word == _SENSITIVE_NAME else _compiled(word) for word in before)
    return _Template(tuple(patterns)[::-1], _compiled(last))


def _compiled(word: str) -> re.Pattern[str]:
    """Return the pattern of one word of a template."""
    pattern = ""
    for at, char in enumerate(word):
        following = word[at + 1 : at + 2]
        pattern += _PARTS[char].format(next=re.escape(following)) if char in _PARTS else re.escape(char)
    return re.compile(pattern.replace("[^]", "."))


def _base_name(program: str) -> str:
    """Return the name of a program without its folder and without `.exe`."""
    return program.rpartition("/")[2].rpartition("\\")[2].removesuffix(".exe")


def _words(text: str, start: int, stop: int, *, is_nested: bool) -> Iterator[Word]:
    """Yield the words of a command. A quoted word of several words may be a command itself, so its words follow it."""
    for match in _WORD.finditer(text, start, stop):
        kind = match.lastgroup
        if kind is None:
            bare = match[0]
            if bare[0] not in _LISTED:
                yield bare[:_LONGEST], match.start()
            elif bare := bare.lstrip(_LISTED):
                yield bare[:_LONGEST], match.end() - len(bare)
            continue
        yield match[kind], match.start(kind)
        if not is_nested and any(map(str.isspace, match[kind])):
            yield from _words(text, *match.span(kind), is_nested=True)


_OPTION: Final = re.compile(r"(?<![\w\-])(?P<dashes>--?)(?P<name>[A-Za-z][\w\-]+) +(?![-\s])(?P<value>\S+)")
_USER_OPTION: Final = re.compile(
    r"(?<![\w\-])(?:-u|--user|--proxy-user)[ =][\"']?[^\s:\"'/]{1,64}:(?=[^\s\"']*[^\d\s\"'])(?!\$)([^\s\"'/][^\s\"']*)"
)
_IDENTIFIED: Final = re.compile(
    r"(?i)\b(?:(?:create|alter)\s+(?:user|role)|grant\b[^;]{1,256}\bto|connect\s+to)\s+\S{1,128}\s+identified\s+(?:with\s+\w{1,64}\s+)?by\s+\"?([^\s;,'\"\[:?$%@][^\s;,\"]*)"
)
"""A password without quotes, as in Oracle's statements."""
_PIPED: Final = re.compile(
    r"\b(?:echo|printf)(?: -n)? (?P<quote>[\"']?)(?P<value>[^\s\"'|$][^\s\"'|]{2,256})(?P=quote) ?\| ?"
    r"(?:sudo (?:-\w )*-\w{0,4}S|chpasswd|cryptsetup|[^|\n]{0,96}?(?:--password-stdin|--stdin|--passphrase-fd|-pass(?:in)? stdin))"
)
"""A password that a command reads from its input."""
_PASS_LINE: Final = re.compile(
    r"(?<![\w.\-:/@])(?P<host>\*|(?=[\w.\-]*[A-Za-z.])[\w.\-]{1,128}):(?P<port>\d{2,5}|\*):(?P<database>[\w.\-*]{1,64}):(?P<user>[\w.\-*@]{1,64}):"
    r"(?P<value>[^\s:\"'`,;()\[\]{}]{4,128})(?![:\w])"
)
"""A line of PostgreSQL's `.pgpass`."""


class OptionFinder:
    """Finds the values of long options with a sensitive name.

    Args:
        keys: Which names are sensitive.
        shapes: Which values are words of a sentence about the option.
    """

    def __init__(self, keys: KeyRules, shapes: ValueShapes) -> None:
        self._keys = keys
        self._shapes = shapes

    def __call__(self, text: str) -> Iterator[Hit]:
        """Yield the values."""
        for match in _OPTION.finditer(text):
            value = match["value"]
            if MARKER.fullmatch(value) or self._shapes.is_ordinary_word(value):
                continue
            rule = self._keys.rule_for(match["name"], value)
            if rule and (rule == "password" or match["dashes"] == "--"):
                yield Hit(*match.span("value"), rule)


def find_option_passwords(text: str) -> Iterator[Hit]:
    """Yield passwords beside a user, those that a statement sets without quotes, and those that are piped."""
    for pattern in (_USER_OPTION, _IDENTIFIED):
        for match in pattern.finditer(text):
            yield Hit(*match.span(1), "password")
    for match in _PIPED.finditer(text):
        yield Hit(*match.span("value"), "password")


def find_pass_lines(text: str) -> Iterator[Hit]:
    """Yield the passwords of lines of `.pgpass`. A name of a queue or a topic has no digits among capitals."""
    for match in _PASS_LINE.finditer(text):
        value = match["value"]
        if (has_digit(value) and not value.isdigit() and value != value.lower()) or (
            value.isalnum() and looks_random(value)
        ):
            yield Hit(*match.span("value"), "password")


COMMAND_LINE_FINDERS: Final = (
    Finder(
        find_option_passwords,
        words=("-u ", "-u=", "--user", "--proxy-user", "identified", "echo ", "printf "),
        signs=" =",
    ),
    Finder(find_pass_lines, words=(":*:", ":54", ":64", ":33"), digits=1),
)
