"""Loading: defaults, a team's file, environment variables, and the overlay of the environment.

Precedence, from the weakest: the defaults' base, the defaults' overlay, the file's base, the file's overlay,
environment variables. So what a team writes always wins over what we wrote: a limit that its file sets for
every environment is not undone by our overlay for staging.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from mita_otel import environment_variables as variables
from mita_otel import semconv
from mita_otel.policy.errors import PolicyError
from mita_otel.policy.model import Policy
from mita_otel.policy.schema import known_keys
from mita_otel.policy.sources import KeyPath, Source, Tree, find_file, from_environment, read_file

DEFAULT_ENVIRONMENT = "production"
"""The environment of a service that does not say which: the strictest limits, as Sentry assumes too."""


@dataclass(frozen=True)
class LoadedPolicy:
    """A policy, and where each of its values came from."""

    policy: Policy
    environment: str
    origins: Mapping[KeyPath, str]
    """Place of each value: `defaults`, `FILE:LINE`, or the variable's name."""
    file: Path | None
    """The file that was found."""


def environment_name(argument: str | None = None, env: Mapping[str, str] | None = None) -> str:
    """Return the environment's name: the argument, `SENTRY_ENVIRONMENT`, `ENVIRONMENT`,
    `deployment.environment.name` of `OTEL_RESOURCE_ATTRIBUTES`, in that order, else `production`.
    """  # noqa: D205 - one sentence
    env = os.environ if env is None else env
    for name in (argument, env.get(variables.SENTRY_ENVIRONMENT), env.get(variables.ENVIRONMENT)):
        if name and name.strip():
            return name.strip()
    pairs = (pair.partition("=") for pair in env.get(variables.RESOURCE_ATTRIBUTES, "").split(","))
    attributes = {key.strip(): value.strip() for key, _, value in pairs}
    return str(semconv.first(attributes, semconv.DEPLOYMENT_ENVIRONMENT) or DEFAULT_ENVIRONMENT)


def load_policy(
    path: str | os.PathLike[str] | None = None,
    *,
    environment: str | None = None,
    env: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> Policy:
    """Load the effective policy.

    Args:
        path: A policy file. None: `MITA_OTEL_POLICY`, `mita-otel.toml`, `[tool.mita-otel]` in pyproject.toml.
        environment: Its name. None: see `environment_name`.
        env: The environment variables. None: the process's.
        folder: Where files are looked for. None: the working directory.

    Raises:
        PolicyError: With a line a problem: file, line, key, what is wrong, the mend.
    """
    return load_with_origins(path, environment=environment, env=env, folder=folder).policy


def default_policy(environment: str = DEFAULT_ENVIRONMENT) -> Policy:
    """Return the default policy of an environment: no file, no variables."""
    return _compose([_defaults()], environment).policy


def load_with_origins(
    path: str | os.PathLike[str] | None = None,
    *,
    environment: str | None = None,
    env: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> LoadedPolicy:
    """Load the effective policy, as `load_policy` does, with the place that each value came from."""
    env = os.environ if env is None else env
    found = find_file(None if path is None else Path(path), env, folder or Path.cwd())
    sources = [_defaults()]
    if found is not None:
        sources.append(read_file(*found))
    sources.append(from_environment(env))
    return _compose(sources, environment_name(environment, env), found[0] if found else None)


@lru_cache(maxsize=1)
def _defaults() -> Source:
    path = files("mita_otel.policy").joinpath("defaults.toml")
    return Source("defaults", read_file(Path(str(path))).tree)


def _compose(sources: list[Source], environment: str, file: Path | None = None) -> LoadedPolicy:
    tree: Tree = {}
    origins: dict[KeyPath, tuple[Source, KeyPath]] = {}
    for source in sources:
        overlays = source.tree.get("environments", {})
        if not isinstance(overlays, dict) or not all(isinstance(one, dict) for one in overlays.values()):
            raise PolicyError(
                f"{source.place(('environments',))}: environments: expected tables; "
                "write [environments.NAME.section]"
            )
        base = {key: value for key, value in source.tree.items() if key != "environments"}
        _merge(tree, base, source, (), (), origins)
        if environment in overlays:
            _merge(tree, overlays[environment], source, ("environments", environment), (), origins)
        _check_other_overlays(source, overlays, environment)
    try:
        policy = Policy.model_validate(tree)
    except ValidationError as error:
        raise PolicyError("\n".join(_sentences(error, origins, sources))) from None
    return LoadedPolicy(policy, environment, {key: s.place(k) for key, (s, k) in origins.items()}, file)


def _check_other_overlays(source: Source, overlays: Mapping[str, Tree], environment: str) -> None:
    """Refuse an overlay of a section that does not exist, also in an environment that is not this one."""
    sections = known_keys(Policy, ())
    for name, overlay in overlays.items():
        for section in overlay:
            if name != environment and section not in sections:
                key = ("environments", name, section)
                raise PolicyError(f"{source.place(key)}: {'.'.join(key)}: {_unknown(section, sections)}")


def _merge(
    tree: Tree,
    new: Mapping[str, Any],
    source: Source,
    prefix: KeyPath,
    at: KeyPath,
    origins: dict[KeyPath, tuple[Source, KeyPath]],
) -> None:
    """Merge `new` into `tree`: tables are merged, anything else replaces what was there."""
    for key, value in new.items():
        here = (*at, key)
        origins[here] = (source, prefix + here)
        if isinstance(value, dict) and isinstance(tree.get(key, {}), dict):
            _merge(tree.setdefault(key, {}), value, source, prefix, here, origins)
        else:
            tree[key] = value


def _sentences(
    error: ValidationError, origins: Mapping[KeyPath, tuple[Source, KeyPath]], sources: list[Source]
) -> Iterator[str]:
    seen: set[KeyPath] = set()
    for problem in error.errors():
        key = tuple(str(part) for part in problem["loc"] if part != "[key]")
        # A union names its members in the location: cut back to what stands in the file.
        known = key
        while known and known not in origins:
            known = known[:-1]
        shown = key if problem["type"] == "missing" else known or key
        if shown in seen:
            continue
        seen.add(shown)
        source, original = origins.get(known, (sources[-1], known))
        dotted = ".".join(original if problem["type"] != "missing" else (*original, *key[len(known) :]))
        yield f"{source.place(original)}: {dotted}: {_mend(problem, known)}"


def _mend(problem: Any, key: KeyPath) -> str:
    kind, message, value = problem["type"], problem["msg"], problem["input"]
    if kind == "extra_forbidden":
        return _unknown(key[-1], known_keys(Policy, key[:-1]))
    if kind == "missing":
        return "missing; add it"
    if kind == "value_error":
        return str(problem["ctx"]["error"])
    written = f" (it is {value!r})" if isinstance(value, str | int | float | bool) else ""
    return f"{message[:1].lower()}{message[1:]}{written}; correct the value"


def _unknown(name: str, known: list[str]) -> str:
    close = get_close_matches(name, known, n=1)
    if close:
        return f"there is no such key; did you mean {close[0]!r}?"
    return f"there is no such key; known here: {', '.join(known)}"
