"""Removes unusable values of OpenTelemetry's variables while it reads them; the others stay effective.

Otherwise one invalid limit would prevent the start of the SDK, or the import of one of its modules.
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
"""Maximum length of a value in a message, in characters."""
_OF_PYTHON: Final = ("OTEL_PYTHON_", "OTEL_INSTRUMENTATION_")
"""Prefixes of the variables for Python only. OpenTelemetry reads some of them after the start, too."""
_READ_AT_IMPORT: Final = ("opentelemetry.propagate", "opentelemetry.sdk.trace", "opentelemetry.sdk._logs")


class _Rule(NamedTuple):
    """The allowed values of a variable. An empty variable counts as not set, unless OpenTelemetry interprets it."""

    fits: Callable[[str], bool]
    wrong: str
    """The problem of an unusable value, to follow `is` or `are`."""
    instead: str
    """The value that applies if the variable is not set."""
    several: bool = False
    """Whether commas separate values: those that fit are kept."""
    written: str | None = None
    """The replacement of an unusable value. None: the variable is removed."""
    secret: bool = False
    """Whether messages must not contain the value, only the name of `name=value`."""


class Unusable(NamedTuple):
    """The variables with values that OpenTelemetry cannot use, or only in part."""

    changes: dict[str, str | None]
    """The replacements by name. None: remove the variable."""
    problems: list[str]
    """A sentence for each variable that is not empty: its name, its value and the value used instead."""


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
    """Remove values that OpenTelemetry cannot use, for the length of the block.

    Args:
        env: The environment. The block's end restores it, since other programs may be able to use the values. Only
            variables for Python stay removed: OpenTelemetry reads them again for every application and tracer.
        patches: Restores the variables for Python when telemetry shuts down.

    Yields:
        A sentence for each variable.
    """
    found = unusable(env)
    patches.set_items(env, {k: v for k, v in found.changes.items() if k.startswith(_OF_PYTHON)})
    with changed(env, found.changes):  # restores the others
        yield found.problems


def import_opentelemetry() -> None:
    """Import the modules of OpenTelemetry that read variables on import, without unusable values."""
    if all(module in sys.modules for module in _READ_AT_IMPORT):
        return
    changes = unusable(os.environ).changes
    if changes:
        with changed(os.environ, changes):
            for module in _READ_AT_IMPORT:
                import_module(module)


def unusable(env: Mapping[str, str]) -> Unusable:
    """Return the values that OpenTelemetry cannot use. Changes nothing."""
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
    return f"{name.strip()!r:.{_LONGEST_SAID}}" if sign else "an entry without ="


# --- usable values -----------------------------------------------------------------------------------
def _is_whole(text: str) -> bool:
    try:
        # For the SDK, empty is no limit. Larger numbers are no length of a list.
        return not text.strip() or 0 <= int(text) <= sys.maxsize
    except ValueError:
        return False


def _is_count(text: str) -> bool:
    return _is_whole(text) and text.strip() not in {"0", ""}


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
    """Return whether it is a time, or infinite: no export at intervals."""
    return _is_time(text) or _is_number(text, inf, inf)


def _are_patterns(text: str) -> bool:
    """Return whether it is a comma-separated list of regular expressions, as OpenTelemetry's instrumentations read it."""
    try:
        re.compile("|".join(part.strip() for part in text.split(",")))
    except (re.error, RecursionError, OverflowError):
        return False
    return True


def _is_header(text: str) -> bool:
    return not text.strip() or _HEADER.fullmatch(text.strip()) is not None


# --- the rules ---------------------------------------------------------------------------------------
def _limit(instead: str) -> _Rule:
    return _Rule(_is_whole, "not a whole number of at least 0", instead)


def _one_of(*choices: str, instead: str, fold: bool = False) -> _Rule:
    def fits(text: str) -> bool:
        return (text.strip().lower() if fold else text) in choices

    return _Rule(fits, f"not one of {', '.join(choices)}", instead)


def _installed(group: str, *known: str, instead: str, several: bool = False) -> _Rule:
    """Return the rule of a variable that names entry points.

    Args:
        group: Group of the entry points.
        known: Names that are always available.
        instead: The value that applies if no entry point is installed.
        several: Whether commas separate names.
    """

    def fits(text: str) -> bool:
        name = text.strip()
        if name in known or (name.lower() == "none" and "none" in known):
            return True
        return bool(name and entry_points(group=group, name=name))

    return _Rule(fits, "not installed", instead, several)


def _of_each_signal(name: str, rule: _Rule) -> Iterator[tuple[str, _Rule]]:
    """Yield OTLP's variable for all signals, and the variable of each signal."""
    general = f"OTEL_EXPORTER_OTLP_{name}"
    yield general, rule
    for signal in ("TRACES", "METRICS", "LOGS"):
        yield f"OTEL_EXPORTER_OTLP_{signal}_{name}", rule._replace(instead=f"{general}, else {rule.instead}")


_RATIO_SAMPLERS: Final = ("traceidratio", "parentbased_traceidratio")
_COUNT, _LENGTH = "OTEL_ATTRIBUTE_COUNT_LIMIT", "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT"
_TIME: Final = "not a usable duration"
_COUNTED: Final = "not a whole number of at least 1"
_NO_PATTERN: Final = "not a regular expression"
_EXCLUDED: Final = "EXCLUDED_URLS"
_HEADER: Final = re.compile(r"[!#-'*+\-.0-9A-Z^-z|~]+[ \t]*=[ !#-+\--:<-\[\]-~]*")
"""A name and a value, URL-encoded or as other SDKs accept it (OTLP exporter specification)."""
_HEADERS: Final = "OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS"


def _rules(env: Mapping[str, str]) -> dict[str, _Rule]:
    """Return the rules by variable. OpenTelemetry handles the other variables without an exception, and logs problems."""
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
        **{f"OTEL_{of}_SCHEDULE_DELAY": _Rule(_is_time, _TIME, "export.queue.delay_ms") for of in ("BSP", "BLRP")},
        **{f"OTEL_{of}_MAX_QUEUE_SIZE": _Rule(_is_count, _COUNTED, "export.queue.exporter_max_spans") for of in ("BSP", "BLRP")},
        **{f"OTEL_{of}_MAX_EXPORT_BATCH_SIZE": _Rule(_is_count, _COUNTED, "export.queue.max_batch") for of in ("BSP", "BLRP")},
        variables.PROMETHEUS_PORT: _Rule(_is_port, "not a port", "9464"),
        **dict(_of_each_signal("TIMEOUT", _Rule(_is_time, _TIME, "10"))),
        **dict(_of_each_signal("COMPRESSION", _one_of("deflate", "gzip", "none", instead="none", fold=True))),
        **dict(_of_each_signal("PROTOCOL", _one_of("grpc", "http/protobuf", instead="whichever is installed"))),
        **dict(_of_each_signal("HEADERS", _Rule(_is_header, "not name=value", "none", several=True, secret=True))),
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
        variables.RESOURCE_ATTRIBUTES: _Rule(lambda text: "=" in text, "not key=value", "nothing", several=True),
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
            lambda text: _is_number(text, 0, 1), "not a number from 0 to 1", "1.0", written="1.0"
        )
    return rules
