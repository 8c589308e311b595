"""The base class of all tables with known keys."""

import ast
import functools
import inspect
import textwrap
from collections.abc import Mapping
from dataclasses import FrozenInstanceError
from itertools import pairwise
from typing import Any, ClassVar, Self, dataclass_transform


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


@functools.cache
def docstrings_of(section: type[Any]) -> dict[str, str]:
    """Return the docstring below each annotated attribute of a class, read from its source."""
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
