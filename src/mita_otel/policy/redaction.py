"""The section of a policy on redaction, and the check that a pattern is safe to search for."""

import importlib
import re
from typing import Annotated, Any, Final, Literal

from mita_otel.policy.section import Bounds, Section, Validator

_MAX_LENGTH: Final = 512
_MAX_STEPS: Final = 4096
"""Ways in which all repeats of a pattern together may match from one position."""

_REPEATS: Final = frozenset({"MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"})
_GROUPS: Final = frozenset({"SUBPATTERN", "ATOMIC_GROUP", "ASSERT", "ASSERT_NOT"})


def check_pattern(pattern: str) -> str:
    """Return the pattern if it is safe to run on any text.

    Raises:
        ValueError: It is not; the message says why, and how to write it.
    """
    if len(pattern) > _MAX_LENGTH:
        raise ValueError(f"the pattern has {len(pattern)} characters; {_MAX_LENGTH} are allowed")
    parser: Any = importlib.import_module("re._parser")
    try:
        nodes = list(parser.parse(pattern))
        # Before it is compiled and tried: both could take minutes.
        least = _least_steps(nodes)
        steps = _steps(pattern, nodes, last=True, repeated=False) if least <= _MAX_STEPS else 0
        matches_nothing = least <= _MAX_STEPS and re.compile(pattern).match("") is not None
    except ValueError:
        raise
    except RecursionError as error:
        raise ValueError(f"{pattern!r} is nested too deeply; write it with fewer groups") from error
    except Exception as error:  # the parser also raises OverflowError, and warnings may be errors
        raise ValueError(f"{pattern!r} is not a regular expression: {error}") from error
    if least > _MAX_STEPS:
        raise ValueError(
            f"{pattern!r} takes at least {least} steps to match; {_MAX_STEPS} are allowed: "
            "lower the counts of its repeats"
        )
    if matches_nothing:
        raise ValueError(f"{pattern!r} also matches nothing at all; let it require at least one character")
    if steps > _MAX_STEPS:
        raise ValueError(
            f"{pattern!r} could match in {steps} ways from one place; {_MAX_STEPS} are allowed: "
            "lower the upper bounds of its repeats"
        )
    return pattern


def _least_steps(nodes: list[Any]) -> int:
    """Return how many steps a match of a sequence takes at least."""
    total = 0
    for code, argument in nodes:
        name = str(code)
        if name in _REPEATS:
            low, _, inner = argument
            total += int(low) * max(1, _least_steps(list(inner)))
        elif name == "BRANCH":
            total += max((_least_steps(list(one)) for one in argument[1]), default=0)
        elif name in _GROUPS:
            total += _least_steps(list(argument if name == "ATOMIC_GROUP" else argument[-1]))
        else:
            total += 1
    return total


def _steps(pattern: str, nodes: list[Any], *, last: bool, repeated: bool) -> int:
    """Return in how many ways a sequence could match from one place."""
    steps = 1
    for position, (code, argument) in enumerate(nodes):
        at_end = last and position == len(nodes) - 1
        name = str(code)
        if name in _REPEATS:
            steps *= _repeat(pattern, argument, last=at_end, repeated=repeated)
        elif name == "BRANCH":
            if repeated:
                raise ValueError(
                    f"{pattern!r} repeats a choice, which can take exponential time; write the choice out"
                )
            steps *= sum(_steps(pattern, list(one), last=at_end, repeated=False) for one in argument[1])
        elif name in _GROUPS:
            inner = argument if name == "ATOMIC_GROUP" else argument[-1]
            inside_end = at_end and name == "SUBPATTERN"
            steps *= _steps(pattern, list(inner), last=inside_end, repeated=repeated)
        elif name.startswith("GROUPREF"):
            raise ValueError(
                f"{pattern!r} refers back to a group, which can take exponential time; write it without"
            )
    return steps


def _repeat(pattern: str, argument: Any, *, last: bool, repeated: bool) -> int:
    low, high, inner = argument
    unbounded = high > _MAX_STEPS
    if repeated and low != high:
        raise ValueError(
            f"{pattern!r} repeats a repeat, which can take exponential time; "
            "write the inner one with a fixed count"
        )
    inside = _steps(pattern, list(inner), last=False, repeated=repeated or high > 1)
    if unbounded and not last:
        raise ValueError(
            f"{pattern!r} has a repeat without an upper bound before its end; write {{1,64}} in place of + or *"
        )
    return inside * (1 if unbounded else max(1, int(high) - int(low) + 1))


Mode = Literal["off", "remove", "mask", "last4", "hmac", "range"]
"""How a redacted value is replaced.

`off` leaves it, `remove` drops the attribute (inside a text it masks), `mask` writes a marker that names
the rule, `last4` adds the last four characters, `hmac` adds a keyed digest that is the same for the same
value, and `range` (amounts) the power of ten it lies in. CVV, PIN and track data are masked under any
mode but `remove`.
"""


class KeyPolicy(Section):
    """Names whose values are secret."""

    sensitive: tuple[str, ...]
    """Names, compared word by word: `card_number` also covers `cardNumber` and `CARD-NUMBER`."""
    allow: tuple[str, ...]
    """Names that are never secret. Their values are still examined."""
    rules: dict[str, tuple[str, ...]]
    """More sensitive names, by the rule that the marker shows."""
    endings: dict[str, str]
    """Rules of names that end in a word like `pgpassword`, by how that word ends."""
    whole: dict[str, str]
    """Rules of short names that are secret only alone or at the end: `pass` and `user.pass`, not `pass_count`. A
    number under one is a count."""
    numbers: dict[str, str]
    """Rules of names that are secret only as a whole, and only if the value reads like a number of some length."""
    harmless: tuple[str, ...]
    """Names that hold a sensitive word and mean something else, as in `primary_key`."""
    descriptive: tuple[str, ...]
    """Last words that make a name one about the secret, not of it, as in `account_type`."""
    identifiers: tuple[str, ...]
    """Last words that make a name a reference: `account_id` is masked only if it reads like a number."""
    common: tuple[str, ...]
    """Sensitive names that are everyday words: in a text, what follows one has to look like a secret."""
    glue: tuple[str, ...]
    """Words that names are put together of without a separator: `card` and `cvv` make `cardcvv` sensitive."""
    directories: tuple[str, ...]
    """Sensitive names that may also hold a directory, as `PWD` does: a path under one is no secret."""
    benign_values: tuple[str, ...]
    """Values that are never secret, as in `csrf_protection: enabled`."""
    object_ids: dict[str, tuple[str, ...]]
    """How the ids of providers' objects begin, by rule: they refer to a secret and are none."""
    statements: tuple[str, ...]
    """Attributes with a database statement. Every literal in them is masked."""


class GrammarPolicy(Section):
    """How texts put a value beside its name: name, up to some words, delimiter, value."""

    max_words: Annotated[int, Bounds(ge=0, le=16)]
    """Words that may occur between a name and its value."""
    connectors: tuple[str, ...]
    """Words that connect a name directly with its value, as in `password is …`."""
    pivots: tuple[str, ...]
    """Words after which a value follows although other words precede them, as in `must have a digit, got …`."""
    prepositions: tuple[str, ...]
    """Words after which the owner of the value is named, as in `password for ada is …`."""
    labels: tuple[str, ...]
    """Words with a sign that announce the value that a check refused, as in `password is too short. Value: …`."""
    checks: tuple[str, ...]
    """Words of messages about such a check, beside `complaints`."""
    complaints: tuple[str, ...]
    """Words that say that a value is malformed, so that a number of another length counts: `SSN has the wrong format: …`."""
    spoken: dict[str, str]
    """Names that mean a secret in sentences only, with their rule. As names of attributes they mean something else."""
    owned: tuple[str, ...]
    """Words that make a spoken name a noun, as in `user ada pass …`."""
    pairs: tuple[str, ...]
    """Names whose value is a user and a secret, as in `credentials ada / …`."""
    logins: tuple[str, ...]
    """Words for a sign-in, which a user and a secret may follow, as in `login ada / …`."""
    login_words: tuple[str, ...]
    """Words between such a word and the user, beside connectors, prepositions and checks."""
    asides: tuple[str, ...]
    """Words between commas that belong to the sentence and are no value, as in `the password, however, is …`."""
    aside_verbs: tuple[str, ...]
    """Words that go on after a value between commas, beside connectors, as in `the password, …, has expired`."""
    ordinary_words: tuple[str, ...]
    """Words that continue a sentence: one after a name and a colon is no value, as in `password: must not be empty`."""
    units: tuple[str, ...]
    """Words that make the number before them a measure, as in `token 12 bytes`."""
    wordlike: tuple[str, ...]
    """Names of algorithms, protocols and formats that hold a digit and are no value, as in `token (RS256)`."""


class KnownSecretsPolicy(Section):
    """When a secret that was found in one place of an event is redacted in the rest of it."""

    min_length: Annotated[int, Bounds(ge=4)]
    """Characters that a secret has at least: shorter ones occur by chance."""
    max_secrets: Annotated[int, Bounds(ge=0, le=256)]
    """Secrets of one event or trace that are looked for. 0 looks for none."""
    max_traces: Annotated[int, Bounds(ge=1)]
    """Traces under way whose secrets are remembered."""
    except_rules: tuple[str, ...]
    """Rules whose values are not looked for elsewhere: they are no secrets, or every place of them is found anyway."""


class CustomRule(Section):
    """A custom rule: names, a pattern, a callable, or several of them."""

    keys: tuple[str, ...] = ()
    """Names whose values are secret."""
    pattern: Annotated[str, Validator(check_pattern)] | None = None
    """A regular expression. It is refused if a search could take more than linear time."""
    finder: str | None = None
    """Entry point in the group `mita_otel_finder`: takes a text, returns pairs of start and end."""


RuleName = Annotated[str, Bounds(pattern=r"^[a-z][a-z0-9_]{0,31}$")]


class RedactionPolicy(Section):
    """Redaction: values that never leave the process."""

    enabled: bool
    """Whether redaction is enabled. Disable it only in development."""
    max_text: Annotated[int, Bounds(ge=256)]
    """Characters of one value that are examined. The rest is removed."""
    max_depth: Annotated[int, Bounds(ge=1, le=64)]
    """Levels of nesting that are examined. Deeper values are replaced."""
    max_items: Annotated[int, Bounds(ge=1)]
    """Members of one list or mapping that are examined. The rest is dropped."""
    max_cached: Annotated[int, Bounds(ge=0)]
    """Texts without a secret that are cached, so that they are not examined again."""
    library_locals: bool
    """Whether the stack frames of libraries keep their local variables. A database driver's contain the statement's
    parameters, without names that identify secrets."""
    attachments: bool
    """Whether attachments of Sentry events are sent. They cannot be redacted."""
    baggage: tuple[str, ...]
    """Names of baggage entries that requests may send; `*` matches any part of a name. Entries with a sensitive name or
    value are never sent."""
    national_ids: tuple[str, ...]
    """Countries whose identification numbers are found by their check digits (ISO 3166 codes, in lower case)."""
    commands: dict[str, tuple[str, ...]]
    """Secrets on command lines, by program: the words of which the last one holds the secret. `*` is the secret, `_` any
    text, `~` up to four letters, `@` a word that names a secret."""
    modes: dict[str, Mode]
    """How redacted values are replaced, by rule."""
    keys: KeyPolicy
    grammar: GrammarPolicy
    known: KnownSecretsPolicy
    custom: dict[RuleName, CustomRule]
    """Custom rules, by the name that the marker shows."""
