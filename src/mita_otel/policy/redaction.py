"""The section of a policy that says what must never leave the process."""

from typing import Annotated, Literal

from mita_otel.policy.fields import Bounds, Check
from mita_otel.policy.patterns import check_pattern
from mita_otel.policy.section import Section

Mode = Literal["off", "remove", "mask", "last4", "hmac", "range"]
"""What stands where a secret was.

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
    """Names that are never secret. Their values are still looked at."""
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
    """Attributes that hold a database statement. Every literal in them is masked."""


class GrammarPolicy(Section):
    """How texts put a value beside its name: name, up to some words, delimiter, value."""

    max_words: Annotated[int, Bounds(ge=0, le=16)]
    """Words that may stand between a name and its value."""
    connectors: tuple[str, ...]
    """Words that connect a name directly with its value, as in `password is …`."""
    pivots: tuple[str, ...]
    """Words after which a value follows although other words precede them, as in `must have a digit, got …`."""
    prepositions: tuple[str, ...]
    """Words after which the owner of the value is named, as in `password for ada is …`."""
    prose: tuple[str, ...]
    """Words that continue a sentence: one after a name and a colon is no value, as in `password: must not be empty`."""
    units: tuple[str, ...]
    """Words that make the number before them a measure, as in `token 12 bytes`."""
    wordlike: tuple[str, ...]
    """Names of algorithms, protocols and formats that hold a digit and are no value, as in `token (RS256)`."""


class CustomRule(Section):
    """A rule of a team's own: any of names, a pattern and a callable."""

    keys: tuple[str, ...] = ()
    """Names whose values are secret."""
    pattern: Annotated[str, Check(check_pattern)] | None = None
    """A regular expression. One whose search could take more than linear time is refused."""
    finder: str | None = None
    """Entry point in the group `mita_otel_finder`: takes a text, returns pairs of start and end."""


RuleName = Annotated[str, Bounds(pattern=r"^[a-z][a-z0-9_]{0,31}$")]


class RedactionPolicy(Section):
    """What must never leave the process."""

    enabled: bool
    """Whether anything is redacted. Only a development policy would say false."""
    max_text: Annotated[int, Bounds(ge=256)]
    """Characters of one value that are looked at; the rest is cut off."""
    max_depth: Annotated[int, Bounds(ge=1, le=64)]
    """Levels of nesting that are followed; what is deeper is replaced."""
    max_items: Annotated[int, Bounds(ge=1)]
    """Members of one list or mapping that are followed; the rest is dropped."""
    max_cached: Annotated[int, Bounds(ge=0)]
    """Texts without a secret that are remembered, so that they are not looked at again."""
    library_locals: bool
    """Whether the stack frames of libraries keep their local variables. A database driver's hold the statement's
    parameters in a row, with no names to tell a secret by."""
    attachments: bool
    """Whether attachments of Sentry events may leave. They cannot be looked at."""
    baggage: tuple[str, ...]
    """Names of baggage entries that may leave the process with a request, `*` for any part of one. Those with a
    sensitive name or value stay in any case."""
    modes: dict[str, Mode]
    """What stands where a secret was, by rule."""
    keys: KeyPolicy
    grammar: GrammarPolicy
    custom: dict[RuleName, CustomRule]
    """A team's own rules, by the name that the marker shows."""
