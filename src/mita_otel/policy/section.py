"""Sections, the tables of the policy with known keys; and what the annotation of a setting can say."""

import ast
import functools
import inspect
import re
import textwrap
from collections.abc import Callable, Mapping, Sized
from dataclasses import FrozenInstanceError
from itertools import pairwise
from typing import Annotated, Any, ClassVar, Self, dataclass_transform

from mita_otel.policy.toml_text import KeyPath


class Bounds:
    """Bounds of a number, or of the length of a text or list.

    Args:
        gt: The number is above this.
        ge: The number is at least this.
        lt: The number is below this.
        le: The number is at most this.
        min_length: Characters of a text, or members of a list, at least.
        max_length: Characters of a text, or members of a list, at most.
        pattern: A regular expression that is found in the text.
        unit: What the number counts, for messages, as in `milliseconds`.
    """

    def __init__(
        self,
        *,
        gt: float | None = None,
        ge: float | None = None,
        lt: float | None = None,
        le: float | None = None,
        min_length: int | None = None,
        max_length: int | None = None,
        pattern: str | None = None,
        unit: str = "",
    ) -> None:
        self.gt, self.ge, self.lt, self.le = gt, ge, lt, le
        self.min_length, self.max_length, self.pattern, self.unit = min_length, max_length, pattern, unit

    def allow(self, value: Any) -> bool:
        """Return whether the value, which has the right type, is within the bounds."""
        if isinstance(value, Sized):
            return (
                (self.min_length is None or len(value) >= self.min_length)
                and (self.max_length is None or len(value) <= self.max_length)
                and (self.pattern is None or re.search(self.pattern, str(value)) is not None)
            )
        return (
            (self.gt is None or value > self.gt)
            and (self.ge is None or value >= self.ge)
            and (self.lt is None or value < self.lt)
            and (self.le is None or value <= self.le)
        )


class Validator:
    """A function that refuses a value.

    Args:
        function: Takes the value. Raises `ValueError` with what is wrong and the fix, or `InvalidKeys`.
    """

    def __init__(self, function: Callable[[Any], object]) -> None:
        self.function = function


class InvalidKeys(ValueError):  # noqa: N818 - names what it carries
    """Several keys of one table are wrong.

    Args:
        messages: By key below the table, what is wrong and the fix.
    """

    def __init__(self, messages: Mapping[KeyPath, str]) -> None:
        self.messages = dict(messages)
        super().__init__("; ".join(self.messages.values()))


PositiveInt = Annotated[int, Bounds(gt=0)]
NonNegativeInt = Annotated[int, Bounds(ge=0)]
Seconds = Annotated[float, Bounds(gt=0, le=3600)]


@dataclass_transform(kw_only_default=True, frozen_default=True)
class Section:
    """A table of the policy. Immutable: `replace()` returns a changed copy.

    A subclass annotates its settings, without `from __future__ import annotations`, so that the types are objects. The
    constructor trusts the types of its arguments; `mita_otel.policy.conversion.convert` reads a table that may be wrong.
    An instance holds only what was given; a setting that was not given has the value that its class names.
    """

    _types: ClassVar[dict[str, Any]] = {}

    def __init_subclass__(cls) -> None:
        cls._types = {**cls._types, **cls.__annotations__}
        texts = [name for name, kind in cls.__annotations__.items() if isinstance(kind, str)]
        if texts:
            raise TypeError(
                f"{cls.__qualname__}: the types of {', '.join(texts)} are texts; "
                "remove `from __future__ import annotations` from its module"
            )

    def __init__(self, **values: Any) -> None:
        names = types_of(type(self))
        if unknown := values.keys() - names.keys():
            raise TypeError(f"{type(self).__name__} has no setting {', '.join(sorted(unknown))}")
        missing = [name for name in names if name not in values and not hasattr(type(self), name)]
        if missing:
            raise TypeError(f"{type(self).__name__} needs {', '.join(missing)}")
        vars(self).update(values)
        self.check()

    def check(self) -> None:
        """Refuse settings that do not fit together.

        Raises:
            ValueError: With what is wrong with the table, and the fix; `InvalidKeys`: with some of its keys.
        """

    def replace(self, **changes: Any) -> Self:
        """Return a copy with other values.

        Raises:
            TypeError: There is no such setting.
        """
        return type(self)(**{**vars(self), **changes})

    def to_dict(self, *, only_given: bool = False) -> dict[str, Any]:
        """Return the table as TOML and JSON have it: dictionaries, lists, texts, numbers, truth values.

        Args:
            only_given: Leave out settings that were not given.
        """
        names = vars(self) if only_given else types_of(type(self))
        return {name: _tree(getattr(self, name), only_given=only_given) for name in names}

    def __setattr__(self, name: str, value: Any) -> None:
        raise FrozenInstanceError(f"{type(self).__name__} is immutable; use replace({name}=...)")

    def __delattr__(self, name: str) -> None:
        raise FrozenInstanceError(f"{type(self).__name__} is immutable")

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and all(
            getattr(self, name) == getattr(other, name) for name in types_of(type(self))
        )

    def __hash__(self) -> int:
        return hash((type(self), *(getattr(self, name) for name in types_of(type(self)))))

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={getattr(self, name)!r}" for name in types_of(type(self)))
        return f"{type(self).__name__}({shown})"


def _tree(value: Any, *, only_given: bool) -> Any:
    if isinstance(value, Section):
        return value.to_dict(only_given=only_given)
    if isinstance(value, Mapping):
        return {name: _tree(one, only_given=only_given) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_tree(one, only_given=only_given) for one in value]
    return value


def types_of(section: type[Section]) -> dict[str, Any]:
    """Return the type of each setting of a section, as annotated."""
    return section._types


def docstrings_of(section: type[Any]) -> dict[str, str]:
    """Return the docstring below each annotated attribute of a class, read from its source."""
    key: Any = section
    return _docstrings(key)


@functools.cache
def _docstrings(section: Any) -> dict[str, str]:
    docstrings: dict[str, str] = {}
    for base in reversed(section.__mro__[:-1]):
        [definition] = ast.parse(textwrap.dedent(inspect.getsource(base))).body
        body = definition.body if isinstance(definition, ast.ClassDef) else []
        for node, after in pairwise(body):
            if (
                isinstance(node, ast.AnnAssign)
                and isinstance(node.target, ast.Name)
                and isinstance(after, ast.Expr)
                and isinstance(after.value, ast.Constant)
                and isinstance(after.value.value, str)
            ):
                docstrings[node.target.id] = inspect.cleandoc(after.value.value)
    return docstrings
