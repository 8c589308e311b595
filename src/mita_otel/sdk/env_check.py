"""OpenTelemetry's own variables: a value that it cannot use is left out while it reads them, and the rest holds.

Left alone, one bad limit would keep the whole SDK from starting, or a module of it from being imported.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from importlib import import_module
from importlib.metadata import entry_points
from math import inf
from threading import TIMEOUT_MAX
from typing import Final, NamedTuple

from mita_otel import environment_variables as variables
from mita_otel.instrumentation.patches import Patches, write

_LONGEST_SAID: Final = 60
"""Characters of a value."""
_OF_PYTHON: Final = ("OTEL_PYTHON_", "OTEL_INSTRUMENTATION_")
"""How the names of those begin that Python alone reads, and some of them at any time."""
_READ_AT_IMPORT: Final = ("opentelemetry.propagate", "opentelemetry.sdk.trace", "opentelemetry.sdk._logs")


class _Rule(NamedTuple):
    """What a variable may say. One that is empty counts as not set, unless OpenTelemetry makes something of it."""

    fits: Callable[[str], bool]
    wrong: str
    """What is wrong with a value that does not fit; `is` and `are` go before it."""
    instead: str
    """What is used where the variable is not set."""
    several: bool = False
    """Whether commas separate values: those that fit are kept."""
    written: str | None = None
    """What is written in the place of a bad value. None: nothing, the variable is not set."""
    secret: bool = False
    """Whether values are not to be said: of `name=value` the name alone."""


class Unusable(NamedTuple):
    """The variables whose values OpenTelemetry cannot use, or not wholly."""

    changes: dict[str, str | None]
    """What to write in their place. None: the variable is not to be set."""
    problems: list[str]
    """A sentence for each that is not just empty: its name, its value, what is used instead."""


@contextmanager
def changed(env: MutableMapping[str, str], changes: Mapping[str, str | None]) -> Iterator[None]:
    """Change variables for the length of a block.

    Args:
        env: The environment.
        changes: Values by name. None: the variable is not set.
    """
    before = {name: env.get(name) for name in changes}
    write(env, changes)
    try:
        yield
    finally:
        write(env, before)


@contextmanager
def without_unusable(env: MutableMapping[str, str], patches: Patches) -> Iterator[list[str]]:
    """Leave out what OpenTelemetry cannot use, for the length of the block.

    Args:
        env: The environment. Afterwards it is as it was, since other programs may be able to use the values. Only
            variables for Python alone stay out: OpenTelemetry reads them again for every application and tracer.
        patches: Takes those back.

    Yields:
        A sentence for each variable.
    """
    found = unusable(env)
    patches.set_items(env, {k: v for k, v in found.changes.items() if k.startswith(_OF_PYTHON)})
    with changed(env, found.changes):  # restores the others
        yield found.problems


def import_opentelemetry() -> None:
    """Import what of OpenTelemetry reads variables as it is imported, without those that it would fail at."""
    if all(module in sys.modules for module in _READ_AT_IMPORT):
        return
    changes = unusable(os.environ).changes
    if changes:
        with changed(os.environ, changes):
            for module in _READ_AT_IMPORT:
                import_module(module)


def unusable(env: Mapping[str, str]) -> Unusable:
    """Return what OpenTelemetry cannot use of the environment. Changes nothing."""
    changes: dict[str, str | None] = {}
    problems: list[str] = []
    for name, rule in _rules(env).items():
        value = env.get(name)
        if value is None:
            continue
        parts = value.split(",") if rule.several else [value]
        bad = [part.strip() for part in parts if not rule.fits(part)]
        if not bad:
            continue
        left = ",".join(part.strip() for part in parts if rule.fits(part)) or None
        changes[name] = left or rule.written
        if said := [_said(part, rule) for part in bad if part]:
            verb = "is" if len(said) == 1 else "are"
            instead = "the rest of it" if left and rule.secret else left or rule.instead
            problems.append(f"{name}: {', '.join(said)} {verb} {rule.wrong}; used instead: {instead}")
    return Unusable(changes, problems)


def _said(value: str, rule: _Rule) -> str:
    if not rule.secret:
        return f"{value!r:.{_LONGEST_SAID}}"
    name, sign, _ = value.partition("=")
    return f"{name.strip()!r:.{_LONGEST_SAID}}" if sign else "what has no ="


# --- what fits ---------------------------------------------------------------------------------------
def _is_whole(text: str) -> bool:
    try:
        return not text.strip() or int(text) >= 0  # the SDK: empty is no limit
    except ValueError:
        return False


def _is_port(text: str) -> bool:
    try:
        return 0 <= int(text) <= 65_535
    except ValueError:
        return False


def _is_number(text: str, low: float, high: float) -> bool:
    try:
        return low <= float(text) <= high
    except ValueError:
        return False


def _is_time(text: str) -> bool:
    return _is_number(text, sys.float_info.min, TIMEOUT_MAX)


def _is_interval(text: str) -> bool:
    """Whether it is a time, or infinite: never by itself."""
    return _is_time(text) or _is_number(text, inf, inf)


def _are_patterns(text: str) -> bool:
    """Whether it is regular expressions between commas, as OpenTelemetry's instrumentations join them."""
    try:
        re.compile("|".join(part.strip() for part in text.split(",")))
    except (re.error, RecursionError, OverflowError):
        return False
    return True


def _is_header(text: str) -> bool:
    return not text.strip() or _HEADER.fullmatch(text.strip()) is not None


# --- the rules ---------------------------------------------------------------------------------------
def _limit(instead: str) -> _Rule:
    return _Rule(_is_whole, "no whole number from 0 on", instead)


def _one_of(*choices: str, instead: str, fold: bool = False) -> _Rule:
    def fits(text: str) -> bool:
        return (text.strip().lower() if fold else text) in choices

    return _Rule(fits, f"none of {', '.join(choices)}", instead)


def _installed(group: str, *known: str, instead: str, several: bool = False) -> _Rule:
    """Return the rule of a variable that names entry points.

    Args:
        group: Theirs.
        known: Names that need not be looked for.
        instead: What is used if none is there.
        several: Whether commas separate names.
    """

    def fits(text: str) -> bool:
        name = text.strip()
        if name in known or (name.lower() == "none" and "none" in known):
            return True
        return bool(name and entry_points(group=group, name=name))

    return _Rule(fits, "not installed", instead, several)


def _of_each_signal(name: str, rule: _Rule) -> Iterator[tuple[str, _Rule]]:
    """Yield OTLP's variable for all signals, and that of each."""
    general = f"OTEL_EXPORTER_OTLP_{name}"
    yield general, rule
    for signal in ("TRACES", "METRICS", "LOGS"):
        yield f"OTEL_EXPORTER_OTLP_{signal}_{name}", rule._replace(instead=f"{general}, else {rule.instead}")


_RATIO_SAMPLERS: Final = ("traceidratio", "parentbased_traceidratio")
_COUNT, _LENGTH = "OTEL_ATTRIBUTE_COUNT_LIMIT", "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT"
_TIME: Final = "no time that can be waited for"
_NO_PATTERN: Final = "no regular expression"
_EXCLUDED: Final = "EXCLUDED_URLS"
_HEADER: Final = re.compile(r"[!#-'*+\-.0-9A-Z^-z|~]+[ \t]*=[ !#-+\--:<-\[\]-~]*")
"""A name and a value, URL-encoded or as other SDKs take it (OTLP exporter specification)."""
_HEADERS: Final = "OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS"


def _rules(env: Mapping[str, str]) -> dict[str, _Rule]:
    """Return the rules by variable. Others OpenTelemetry does not fail at: it says itself what it makes of them."""
    rules = {
        _COUNT: _limit("128"),
        _LENGTH: _limit("no limit"),
        "OTEL_SPAN_EVENT_COUNT_LIMIT": _limit("128"),
        "OTEL_SPAN_LINK_COUNT_LIMIT": _limit("128"),
        **{f"OTEL_{of}_ATTRIBUTE_COUNT_LIMIT": _limit(f"{_COUNT}, else 128") for of in ("SPAN", "EVENT", "LINK", "LOGRECORD")},
        **{f"OTEL_{of}_ATTRIBUTE_VALUE_LENGTH_LIMIT": _limit(f"{_LENGTH}, else no limit") for of in ("SPAN", "LOGRECORD")},
        "OTEL_METRIC_EXPORT_INTERVAL": _Rule(_is_interval, _TIME, "60000"),
        "OTEL_METRIC_EXPORT_TIMEOUT": _Rule(_is_time, _TIME, "30000"),
        "OTEL_METRICS_EXEMPLAR_FILTER": _one_of("always_off", "always_on", "trace_based", instead="trace_based"),
        variables.PROMETHEUS_PORT: _Rule(_is_port, "no port", "9464"),
        **dict(_of_each_signal("TIMEOUT", _Rule(_is_time, _TIME, "10"))),
        **dict(_of_each_signal("COMPRESSION", _one_of("deflate", "gzip", "none", instead="none", fold=True))),
        **dict(_of_each_signal("PROTOCOL", _one_of("grpc", "http/protobuf", instead="whichever is installed"))),
        **dict(_of_each_signal("HEADERS", _Rule(_is_header, "no header's name=value", "none", several=True, secret=True))),
        variables.TRACES_SAMPLER: _installed("opentelemetry_traces_sampler", *_RATIO_SAMPLERS, instead="the policy's sampling"),
        "OTEL_PYTHON_TRACER_PROVIDER": _installed("opentelemetry_tracer_provider", instead="mita-otel's"),
        "OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED": _one_of("false", "true", instead="false", fold=True),
        "OTEL_PYTHON_METER_PROVIDER": _installed("opentelemetry_meter_provider", instead="mita-otel's"),
        "OTEL_PYTHON_CONTEXT": _installed("opentelemetry_context", "contextvars_context", instead="contextvars_context"),
        "OTEL_PYTHON_ID_GENERATOR": _installed("opentelemetry_id_generator", "random", instead="random"),
        "OTEL_PROPAGATORS": _installed(
            "opentelemetry_propagator", "tracecontext", "baggage", "none", instead="tracecontext,baggage", several=True
        ),
        "OTEL_EXPERIMENTAL_RESOURCE_DETECTORS": _installed(
            "opentelemetry_resource_detector", "otel", "*", instead="those that are always there", several=True
        ),
        variables.RESOURCE_ATTRIBUTES: _Rule(lambda text: "=" in text, "no key=value", "nothing", several=True),
    }  # fmt: skip
    for name in env:
        if name.startswith("OTEL_PYTHON_") and name.endswith(_EXCLUDED):
            instead = "nothing" if name == f"OTEL_PYTHON_{_EXCLUDED}" else f"OTEL_PYTHON_{_EXCLUDED}"
            rules[name] = _Rule(_are_patterns, _NO_PATTERN, instead)
        elif name.startswith(f"{_HEADERS}_"):
            rules[name] = _Rule(_are_patterns, _NO_PATTERN, "nothing")
    rules[f"{_HEADERS}_SANITIZE_FIELDS"] = _Rule(_are_patterns, _NO_PATTERN, "every header", written=".*")
    if env.get(variables.TRACES_SAMPLER) in _RATIO_SAMPLERS:
        rules["OTEL_TRACES_SAMPLER_ARG"] = _Rule(
            lambda text: _is_number(text, 0, 1), "no number from 0 to 1", "1.0", written="1.0"
        )
    return rules
