"""Loading: defaults, a team's file, environment variables, and the overlay of the environment.

Precedence, from the weakest: the defaults' base, the defaults' overlay, the file's base, the file's overlay,
environment variables, an overlay in code. So a team's values always win over the defaults: a limit that its file sets for every environment
also applies in staging, although the defaults have an overlay for it. (Arguments of `configure()` win over them all.)
"""

from __future__ import annotations

import hashlib
import json
import os
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote

from mita_otel import environment_variables as variables
from mita_otel import semconv
from mita_otel.policy.composing import Composed, PolicyFault, compose, overlays, spelled_as
from mita_otel.policy.errors import PolicyError, Problem
from mita_otel.policy.model import Policy
from mita_otel.policy.overrides import from_environment
from mita_otel.policy.sources import ENVIRONMENTS, Source, Tree, find_file, position_of, read_file
from mita_otel.policy.toml_text import KeyPath, is_index

DEFAULTS: Final = Path(__file__).with_name("defaults.toml")
PARSED_DEFAULTS: Final = Path(__file__).with_name("defaults.json")
"""The defaults as JSON, which Python reads twenty times as fast. Written by `make docs`."""
DEFAULT_ENVIRONMENT = "production"
"""The environment of a service that does not say which: the strictest limits, as Sentry assumes too."""


@dataclass(frozen=True)
class Setting:
    """One value of an effective policy."""

    key: KeyPath
    value: Any
    """As TOML has it: numbers, texts, truth values, lists, tables."""
    place: str
    """Where it came from: `defaults`, `defaults (staging)`, `FILE:LINE`, or the variable's name."""
    is_default: bool
    """Whether the environment's default is the same."""


@dataclass(frozen=True)
class LoadedPolicy:
    """A policy, and where each of its values came from."""

    policy: Policy
    environment: str
    origins: Mapping[KeyPath, str]
    """KeyPosition of each value: `defaults`, `defaults (staging)`, `FILE:LINE`, or the variable's name."""
    file: Path | None
    """The policy file; None: the defaults."""
    overlays: tuple[str, ...]
    """The environments that the file has overlays for."""
    problems: tuple[Problem, ...] = ()
    """The values that `salvage_policy` ignored."""

    @property
    def unknown_environment(self) -> str | None:
        """What applies in an environment that no overlay names; None if it is known."""
        known = sorted({*_default_environments(), *self.overlays})
        if self.environment in known:
            return None
        return (
            f"environment {self.environment!r} is unknown: the settings of production apply; known are "
            f"{', '.join(known)}"
        )

    def settings(self) -> Iterator[Setting]:
        """Yield each value with the place that it came from."""
        defaults = dict(default_policy(self.environment).values())
        for key, value in self.policy.values():
            above = (key[:end] for end in range(len(key), 0, -1))
            place = next((self.origins[one] for one in above if one in self.origins), "defaults")
            yield Setting(key, value, place, key in defaults and defaults[key] == value)


def environment_name(argument: str | None = None, env: Mapping[str, str] | None = None) -> str:
    """Return the environment's name: the argument, `SENTRY_ENVIRONMENT`, `ENVIRONMENT`,
    `deployment.environment.name` of `OTEL_RESOURCE_ATTRIBUTES`, in that order, else `production`.

    Capitals do not matter: `Production` is `production`.
    """  # noqa: D205 - one sentence
    env = os.environ if env is None else env
    for name in (argument, env.get(variables.SENTRY_ENVIRONMENT), env.get(variables.ENVIRONMENT)):
        if name and name.strip():
            return spelled_as(name.strip(), _default_environments())
    pairs = (pair.partition("=") for pair in env.get(variables.RESOURCE_ATTRIBUTES, "").split(","))
    attributes = {key.strip(): unquote(value.strip()) or None for key, _, value in pairs}
    named = str(semconv.first(attributes, semconv.DEPLOYMENT_ENVIRONMENT) or DEFAULT_ENVIRONMENT)
    return spelled_as(named, _default_environments())


def _default_environments() -> list[str]:
    return [DEFAULT_ENVIRONMENT, *overlays(_defaults())]


def load_policy(
    path: str | os.PathLike[str] | None = None,
    *,
    environment: str | None = None,
    env: Mapping[str, str] | None = None,
    folder: Path | None = None,
    overlay: Tree | None = None,
) -> Policy:
    """Load the effective policy.

    Args:
        path: A policy file. None: `MITA_OTEL_POLICY`, `mita-otel.toml`, `[tool.mita-otel]` in pyproject.toml.
        environment: Its name. None: see `environment_name`.
        env: The environment variables. None: the process's.
        folder: Where files are looked for. None: the working directory.
        overlay: Values that win over those of the file and the variables, as nested dictionaries.

    Raises:
        PolicyError: With one line for each problem: file, line, key, what is wrong, the fix. A file is valid or invalid
            as a whole: the overlays of other environments are checked as well.
    """
    return load_with_origins(path, environment=environment, env=env, folder=folder, overlay=overlay).policy


def load_with_origins(
    path: str | os.PathLike[str] | None = None,
    *,
    environment: str | None = None,
    env: Mapping[str, str] | None = None,
    folder: Path | None = None,
    overlay: Tree | None = None,
) -> LoadedPolicy:
    """Load the effective policy, as `load_policy` does, with the place that each value came from."""
    loaded = salvage_policy(path, environment=environment, env=env, folder=folder, overlay=overlay)
    if loaded.problems:
        raise PolicyError(loaded.problems)
    return loaded


def salvage_policy(
    path: str | os.PathLike[str] | None = None,
    *,
    environment: str | None = None,
    env: Mapping[str, str] | None = None,
    folder: Path | None = None,
    overlay: Tree | None = None,
) -> LoadedPolicy:
    """Load the effective policy without its invalid values, so that a service starts.

    One invalid value does not affect the others, least of all a team's redaction rules. `problems` of the result lists the
    values that are ignored.
    """
    env = os.environ if env is None else env
    sources: list[Source] = []
    problems: list[Problem] = []
    found = find_file(None if path is None else Path(path), env, folder or Path.cwd())
    if found is not None:
        try:
            sources.append(read_file(*found))
            problems.extend(sources[-1].problems)
        except PolicyError as error:
            problems.extend(error.problems)
    names = tuple(name for source in sources for name in overlays(source))
    from_variables, wrong_names = from_environment(env, Policy, _defaults().tree)
    sources.append(from_variables)
    problems.extend(wrong_names)
    if overlay is not None:
        sources.append(Source("the overlay", overlay))
    name = spelled_as(environment_name(environment, env), names)
    composed, policy, faults = _salvage([_defaults(), *sources], name)
    return LoadedPolicy(
        policy,
        composed.environment,
        {key: _place(*origin) for key, origin in composed.origins.items()},
        found[0] if found else None,
        names,
        (*problems, *faults),
    )


@dataclass(frozen=True)
class CheckedPolicy:
    """The result of checking a policy."""

    file: Path | None
    """The policy file; None: the defaults."""
    environments: tuple[str, ...]
    """The environments that it was checked for."""
    problems: tuple[Problem, ...]
    """What is wrong."""


def check_policy(
    path: str | os.PathLike[str] | None = None,
    *,
    env: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> CheckedPolicy:
    """Check a policy for every environment that it or the defaults name, and for the current one.

    Args:
        path: A policy file. None: the file that is found (see `load_policy`).
        env: The environment variables. None: the process's.
        folder: Where files are looked for. None: the working directory.
    """
    first = salvage_policy(path, env=env, folder=folder)
    names = dict.fromkeys([DEFAULT_ENVIRONMENT, *overlays(_defaults()), *first.overlays, first.environment])
    every = [salvage_policy(path, environment=name, env=env, folder=folder) for name in names]
    problems = dict.fromkeys(problem for one in every for problem in one.problems)
    return CheckedPolicy(first.file, tuple(names), tuple(problems))


def default_policy(environment: str = DEFAULT_ENVIRONMENT) -> Policy:
    """Return the default policy of an environment: no file, no variables."""
    return _salvage([_defaults()], spelled_as(environment, _default_environments()))[1]


@lru_cache(maxsize=1)
def _defaults() -> Source:
    text = DEFAULTS.read_bytes()
    try:
        parsed = json.loads(PARSED_DEFAULTS.read_bytes())
    except (OSError, ValueError):
        parsed = {}
    if parsed.get("sha256") != hashlib.sha256(text).hexdigest():  # someone edits the defaults
        return Source("defaults", tomllib.loads(text.decode()))
    return Source("defaults", parsed["tree"])


def parsed_defaults() -> str:
    """Return what `PARSED_DEFAULTS` contains: the defaults, and the digest of the text that they were parsed from."""
    text = DEFAULTS.read_bytes()
    content = {"sha256": hashlib.sha256(text).hexdigest(), "tree": tomllib.loads(text.decode())}
    return json.dumps(content, ensure_ascii=False, indent=0) + "\n"


def _place(source: Source, key: KeyPath) -> str:
    if source is _defaults() and key[0] == ENVIRONMENTS:
        return f"{source.name} ({key[1]})"
    return source.place(key)


def _salvage(sources: list[Source], environment: str) -> tuple[Composed, Policy, list[Problem]]:
    """Merge the sources; while there are faults, record them, remove their values and merge again."""
    problems: dict[Problem, KeyPath] = {}
    while True:
        composed, faults = _compose_all(sources, environment)
        if composed.policy is not None and not faults:
            return composed, composed.policy, list(problems)
        # A key that is missing because its value was removed is not reported.
        known = list(problems.values())
        news = [fault for fault in faults if not any(key[: len(fault.key)] == fault.key for key in known)]
        problems |= {fault.problem(): fault.key for fault in news}
        if any(fault.source is sources[0] for fault in faults):
            raise PolicyError(problems)
        sources = [_without(source, faults) for source in sources]


def _compose_all(sources: Sequence[Source], environment: str) -> tuple[Composed, list[PolicyFault]]:
    """Return the environment's policy, and the faults of each environment that the file has an overlay for."""
    others = dict.fromkeys(name for source in sources[1:] for name in overlays(source))
    every = [compose(sources, name) for name in dict.fromkeys([environment, *others])]
    faults = {(id(fault.source), fault.key): fault for one in every for fault in one.faults}
    order = {id(source): number for number, source in enumerate(sources)}
    positions = {id(source): source.positions() for source in sources}
    in_order = sorted(
        faults.values(),
        key=lambda fault: (order[id(fault.source)], position_of(fault.key, positions[id(fault.source)])),
    )
    return every[0], in_order


def _without(source: Source, faults: Sequence[PolicyFault]) -> Source:
    keys = [fault.key for fault in faults if fault.source is source]
    # From the end, so that the positions of a list's other members do not change.
    for key in sorted(keys, key=_numbered, reverse=True):
        source = source.without(key)
    return source


def _numbered(key: KeyPath) -> tuple[tuple[int, str], ...]:
    return tuple((int(part), "") if is_index(part) else (-1, part) for part in key)
