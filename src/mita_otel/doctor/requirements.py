"""Finds installed packages whose versions do not go together, and one command that brings all of them together.

The command names every package that has to change, so that pip resolves them at once: a fix of one pair alone could break
another pair, whose fix breaks the first one.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import Distribution, packages_distributions
from shlex import quote
from types import TracebackType
from typing import Final

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from mita_otel.sdk.health.libraries import installed_distributions

OURS: Final = "mita-otel"
_TELEMETRY: Final = "opentelemetry-"
_SHOWN: Final = 3
"""Packages that are named in a message."""
_EXACT: Final = frozenset({"==", "===", "~="})

Packages = Mapping[str, Distribution]
"""Installed packages by normalised name."""


@dataclass(frozen=True, slots=True)
class Conflict:
    """A package whose installed version is not one that another package needs."""

    requirer: str
    requirer_version: str
    required: str
    specifier: SpecifierSet
    installed: str
    """Installed version; empty: not installed."""

    @property
    def is_of_telemetry(self) -> bool:
        """Whether mita-otel or a package of OpenTelemetry needs another version."""
        return self.requirer == OURS or self.requirer.startswith(_TELEMETRY)


def installed_packages() -> dict[str, Distribution]:
    """Return the installed packages. Of several versions, Python uses the first."""
    found: dict[str, Distribution] = {}
    for one in installed_distributions():
        found.setdefault(canonicalize_name(one.name or ""), one)
    return found


def described(found: Sequence[Conflict]) -> str:
    """Return a sentence about the conflicts about one package."""
    shown = [
        f"{one.requirer} {one.requirer_version} needs {one.required}{one.specifier}" for one in found[:_SHOWN]
    ]
    if len(found) > _SHOWN:
        shown.append(f"{len(found) - _SHOWN} more need other versions as well")
    installed = found[0].installed
    return f"{', '.join(shown)}, but {f'{installed} is installed' if installed else 'it is not installed'}"


def conflicts(packages: Packages, roots: Collection[str], extras: Collection[str]) -> list[Conflict]:
    """Return the conflicts of packages, of all that these need, and of others that need one of them.

    Args:
        packages: The installed packages.
        roots: Normalised names of the packages to start with.
        extras: Extras of mita-otel that are in use. The others are no requirements.
    """
    concerned = _closure(packages, roots, extras)
    found: list[Conflict] = []
    for name in [*concerned, *(one for one in packages if one not in concerned)]:
        for required, of_extra in _requirements(packages[name], extras if name == OURS else ()):
            needed = canonicalize_name(required.name)
            one = packages.get(needed)
            if (one is None and (of_extra or name not in concerned)) or (
                name not in concerned and needed not in concerned
            ):
                continue  # the check of a feature names its extra
            if one is None or not required.specifier.contains(one.version, prereleases=True):
                installed = one.version if one is not None else ""
                found.append(Conflict(name, packages[name].version, needed, required.specifier, installed))
    return found


def _closure(packages: Packages, roots: Collection[str], extras: Collection[str]) -> dict[str, None]:
    """Return the installed ones of some packages, and the installed ones that these need."""
    concerned: dict[str, None] = {}
    asked = [name for name in roots if name in packages]
    while asked:
        name = asked.pop(0)
        if name in concerned:
            continue
        concerned[name] = None
        for required, _ in _requirements(packages[name], extras if name == OURS else ()):
            needed = canonicalize_name(required.name)
            if needed in packages:
                asked.append(needed)
    return concerned


def _requirements(one: Distribution, extras: Collection[str]) -> Iterator[tuple[Requirement, bool]]:
    """Yield the requirements that apply, and whether an extra adds them."""
    active, done = ["", *extras], set[str]()
    while active:
        extra = active.pop(0)
        if extra in done:
            continue
        done.add(extra)
        for text in one.requires or ():
            try:
                required = Requirement(text)
            except InvalidRequirement:
                continue  # an old package: pip ignores it as well
            always = required.marker is None or required.marker.evaluate({"extra": ""})
            if extra and (
                always or required.marker is None or not required.marker.evaluate({"extra": extra})
            ):
                continue
            if not extra and not always:
                continue
            if canonicalize_name(required.name) == canonicalize_name(one.name or ""):
                active += sorted(required.extras)
            else:
                yield required, bool(extra)


def fix(found: Sequence[Conflict], packages: Packages) -> str:
    """Return the command that resolves all conflicts.

    A package that is older than needed changes. A package that is newer than another one accepts stays, and the other
    one changes. What depends on an exact version of a changing package changes as well. The packages of OpenTelemetry
    that stay are named with their version, because newer ones need each other.
    """
    needed: dict[str, SpecifierSet] = {}
    changing: set[str] = set()
    for one in found:
        if one.requirer != OURS and one.installed and _is_newer(one):
            changing.add(one.requirer)
        else:
            changing.add(one.required)
            needed[one.required] = needed.get(one.required, SpecifierSet()) & one.specifier
    _add_dependents(changing, needed, packages)
    arguments, upgrades = [], False
    kept = _kept(packages, changing)
    # Named as well, or pip would change them back to what an old package accepts.
    for name in sorted(changing | {one.required for one in found} - kept):
        bounds = _bounds(name, packages, changing)
        if any(one.requirer == OURS and one.required == name for one in found):
            bounds &= needed[name]  # an extra's, which `_bounds` does not know
        installed = packages[name].version if name in packages else ""
        upgrades |= name in changing and bool(installed) and bounds.contains(installed, prereleases=True)
        bounds = _shortened(bounds)
        arguments.append(quote(f"{name}{bounds}") if str(bounds) else name)
    arguments += [f"{name}=={packages[name].version}" for name in sorted(kept)]
    return f"pip install {'--upgrade ' if upgrades else ''}{' '.join(arguments)}"


def _add_dependents(changing: set[str], needed: Mapping[str, SpecifierSet], packages: Packages) -> None:
    """Add the packages that cannot stay if others change."""
    grown = True
    while grown:
        grown = False
        for requirer, one in packages.items():
            if requirer in changing or requirer == OURS:
                continue
            for required, _ in _requirements(one, ()):
                name = canonicalize_name(required.name)
                if name not in changing or name not in packages:
                    continue
                if _prevents(required.specifier, needed.get(name), packages[name].version):
                    changing.add(requirer)
                    grown = True


def _prevents(accepted: SpecifierSet, needed: SpecifierSet | None, installed: str) -> bool:
    """Return whether the versions that a package accepts prevent another one from changing."""
    if needed is not None:
        return not _can_be_met(accepted & needed)
    exact = any(bound.operator in _EXACT for bound in accepted)
    return exact and accepted.contains(installed, prereleases=True)


def _kept(packages: Packages, changing: Collection[str]) -> set[str]:
    """Return the packages of OpenTelemetry that stay, and that changing ones need."""
    required: set[str] = {
        canonicalize_name(one.name)
        for name in changing
        if name in packages
        for one, _ in _requirements(packages[name], ())
    }
    return {name for name in required if name.startswith(_TELEMETRY) and name in packages} - set(changing)


def _shortened(bounds: SpecifierSet) -> SpecifierSet:
    """Return the bounds without lower bounds that another one includes."""
    exact = [str(bound) for bound in bounds if bound.operator == "==" and "*" not in bound.version]
    if exact:
        return SpecifierSet(exact[0])
    lower = [bound for bound in bounds if bound.operator == ">="]
    others = {str(bound) for bound in bounds if bound.operator != ">="}
    highest = [str(max(lower, key=lambda bound: Version(bound.version)))] if lower else []
    return SpecifierSet(",".join([*sorted(others), *highest]))


def _can_be_met(bounds: SpecifierSet) -> bool:
    """Return whether some version meets the bounds, tried at and around each of them."""
    tried: list[Version] = [Version("0")]
    for bound in bounds:
        try:
            version = Version(bound.version.removesuffix(".*"))
        except InvalidVersion:
            return True
        below = [max(0, version.release[0] - 1), 999_999]
        if len(version.release) > 1 and version.release[1:] != (0,) * len(version.release[1:]):
            below = [*version.release[:-1], max(0, version.release[-1] - 1), 999_999]
        tried += [version, Version(f"{version.base_version}.0.1"), Version(".".join(map(str, below)))]
    return any(bounds.contains(one, prereleases=True) for one in tried)


def _is_newer(one: Conflict) -> bool:
    """Return whether the installed version is above all that the requirer accepts."""
    installed = Version(one.installed)
    for bound in one.specifier:
        try:
            version = Version(bound.version.removesuffix(".*"))
        except InvalidVersion:
            continue
        if bound.operator in ("<", "<=", "==", "~=", "===") and installed > version:
            return not bound.contains(installed, prereleases=True)
    return False


def _bounds(name: str, packages: Packages, changing: Collection[str]) -> SpecifierSet:
    """Return the versions of a package that the packages accept that stay as they are."""
    bounds = SpecifierSet()
    for requirer, one in packages.items():
        if requirer in changing:
            continue
        for required, _ in _requirements(one, ()):
            if canonicalize_name(required.name) == name:
                bounds &= required.specifier
    return bounds


def cause_of(error: BaseException, packages: Packages) -> str:
    """Return what an import error comes from: a conflict of the package in which it was raised, or that package."""
    names = packages_distributions()
    for module in _modules(error.__traceback__):
        if module in sys.stdlib_module_names:
            continue
        for name in names.get(module, ()):
            package = canonicalize_name(name)
            found = conflicts(packages, [package], ())
            direct = [one for one in found if one.requirer == package or one.required == package]
            if direct:
                return f"{described(direct[:1])}: {fix(found, packages)}"
            version = packages[package].version if package in packages else ""
            return f"raised in {package} {version}: pip install --force-reinstall {package}"
    return ""


def _modules(trace: TracebackType | None) -> list[str]:
    """Return the top-level modules of a traceback, innermost first."""
    found: list[str] = []
    while trace is not None:
        found.append(str(trace.tb_frame.f_globals.get("__name__", "")).partition(".")[0])
        trace = trace.tb_next
    return list(dict.fromkeys(reversed(found)))
