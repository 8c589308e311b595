"""Every change to the process, with its inverse: `Telemetry.shutdown()` takes all of them back."""

from __future__ import annotations

import logging
import threading
from collections import defaultdict
from collections.abc import Callable, Mapping, MutableMapping
from types import ModuleType
from typing import Any, Final

import wrapt

_logger = logging.getLogger("mita_otel")

Wrapper = Callable[[Callable[..., Any], Any, tuple[Any, ...], dict[str, Any]], Any]
"""A wrapper as wrapt calls it: the wrapped function, its instance, the arguments."""

_ABSENT: Final = object()


class Patches:
    """Changes something in the process, and remembers how to change it back.

    A change that another library has patched on top of stays in place, because taking it away would remove the other
    patch as well: a wrapper then only calls what it wraps.
    """

    def __init__(self) -> None:
        self._inverses: list[Callable[[], object]] = []
        self._on_import: defaultdict[str, list[Callable[[Any], None]]] = defaultdict(list)
        self._active = True
        self._lock = threading.RLock()

    @property
    def active(self) -> bool:
        """False after `revert`."""
        return self._active

    def add(self, inverse: Callable[[], object]) -> None:
        """Remember how to take back a change that was made elsewhere. Called once, after later changes were taken back."""
        with self._lock:
            if self._active:
                self._inverses.append(inverse)
                return
        _quietly(inverse)

    def set(self, target: object, name: str, value: object) -> None:
        """Set an attribute of an object, a class or a module."""
        before = vars(target).get(name, _ABSENT)
        setattr(target, name, value)

        def restore() -> None:
            if vars(target).get(name, _ABSENT) is not value:
                return  # another library has patched it since
            if before is _ABSENT:
                delattr(target, name)
            else:
                setattr(target, name, before)

        self.add(restore)

    def set_items(self, target: MutableMapping[str, str], values: Mapping[str, str | None]) -> None:
        """Set or, with None, remove entries of a mapping, as of `os.environ`."""
        before = {name: target.get(name) for name in values}
        write(target, values)
        self.add(lambda: write(target, {k: v for k, v in before.items() if target.get(k) == values[k]}))

    def set_members(self, target: MutableMapping[str, Any], values: Mapping[str, Any]) -> None:
        """Set entries of a mapping of objects, as of a client's options. None is a value like any other."""
        before = {name: target.get(name, _ABSENT) for name in values}
        target.update(values)

        def restore() -> None:
            for name, value in before.items():
                if target.get(name, _ABSENT) is not values[name]:
                    continue  # changed since
                if value is _ABSENT:
                    del target[name]
                else:
                    target[name] = value

        self.add(restore)

    def wrap(self, module: ModuleType | str, name: str, wrapper: Wrapper) -> None:
        """Wrap a function or a method.

        Args:
            module: The module, or its name.
            name: The function's path in it, as in `FastAPI.__init__`.
            wrapper: What is called in its place.
        """
        target, attribute, wrapped = wrapt.resolve_path(module, name)
        self.set(target, attribute, wrapt.FunctionWrapper(wrapped, wrapper, enabled=lambda: self._active))

    def on_import(self, module: str, hook: Callable[[Any], None]) -> None:
        """Call a hook with a module when it is imported: now, if it has been. A hook that fails is logged."""
        with self._lock:
            if not self._active:
                return
            self._on_import[module].append(hook)
        _IMPORTS.watch(module, self)

    def imported(self, module: ModuleType) -> None:
        """Call the hooks of a module that was imported."""
        with self._lock:
            hooks = self._on_import.pop(module.__name__, [])
        for hook in hooks if self._active else ():
            try:
                hook(module)
            except Exception:  # an import must not fail because of us
                _logger.exception("%s could not be instrumented", module.__name__)

    def revert(self) -> None:
        """Take every change back, the latest first."""
        with self._lock:
            self._active = False
            self._on_import.clear()
            _IMPORTS.forget(self)
            inverses, self._inverses = self._inverses[::-1], []
        for inverse in inverses:
            _quietly(inverse)


class _ImportHooks:
    """One import hook for each module, since wrapt cannot remove a hook: it passes the import on to each `Patches`."""

    def __init__(self) -> None:
        self._patches: dict[Patches, None] = {}
        self._watched: set[str] = set()

    def watch(self, module: str, patches: Patches) -> None:
        """Call `patches.imported` when the module is imported; now, if it has been."""
        self._patches[patches] = None
        if module not in self._watched:
            self._watched.add(module)
            wrapt.register_post_import_hook(self._imported, module)

    def forget(self, patches: Patches) -> None:
        """Call nothing of a reverted registry any more."""
        self._patches.pop(patches, None)

    def _imported(self, module: ModuleType) -> None:
        self._watched.discard(module.__name__)
        for patches in list(self._patches):
            patches.imported(module)


_IMPORTS: Final = _ImportHooks()


def write(target: MutableMapping[str, str], values: Mapping[str, str | None]) -> None:
    """Set entries of a mapping. None: the entry is removed."""
    for name, value in values.items():
        if value is None:
            target.pop(name, None)
        else:
            target[name] = value


def type_name(value: object) -> str:
    """Return the name of a value's type with its module, for error messages."""
    return f"{type(value).__module__}.{type(value).__qualname__}".removeprefix("builtins.")


def _quietly(inverse: Callable[[], object]) -> None:
    try:
        inverse()
    except Exception:
        _logger.debug("a patch could not be taken back", exc_info=True)
