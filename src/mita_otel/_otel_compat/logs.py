"""Log records: their limits, the processors of a provider, and loggers that move."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Sequence
from typing import Any

from opentelemetry.sdk._logs import Logger, LoggerProvider, LogRecordLimits, LogRecordProcessor

from mita_otel._otel_compat import Patch


@functools.cache
def unlimited_log_records() -> LogRecordLimits:
    """Return limits that cut nothing. Releases before 1.44 have two limits and no value for none."""
    names = [name for name in inspect.signature(LogRecordLimits).parameters if name.startswith("max_")]
    return LogRecordLimits(**dict.fromkeys(names, sys.maxsize))


def log_record_length_limits(provider: object = None) -> tuple[int | None, int | None]:
    """Return the lengths at which attributes of log records are cut: the general one and their own. None: not cut.

    Args:
        provider: Its limits. None, or a release whose providers have none: those that the environment sets.
    """
    limits = getattr(provider, "_log_record_limits", None) or LogRecordLimits()
    return limits.max_attribute_length, getattr(limits, "max_log_record_attribute_length", None)


def log_record_limits(length: int | None) -> dict[str, Any]:
    """Return the argument of `LoggerProvider` that cuts attributes at another length than the environment says.

    Releases before 1.44 read the environment for each record: there the result is empty.
    """
    if "log_record_limits" not in inspect.signature(LoggerProvider).parameters:
        return {}
    names = [
        name for name in inspect.signature(LogRecordLimits).parameters if name.endswith("attribute_length")
    ]
    cut_at = LogRecordLimits.UNSET if length is None else length
    return {"log_record_limits": LogRecordLimits(**dict.fromkeys(names, cut_at))}


def join_logger_provider(
    provider: LoggerProvider,
    ours: Sequence[LogRecordProcessor],
    wrap: Callable[[LogRecordProcessor], LogRecordProcessor],
    patch: Patch = setattr,
) -> Callable[[], None]:
    """Add processors to a host's LoggerProvider, and put something before each of the host's, also of those added later.

    Returns:
        A function that removes ours and what was put before the host's.
    """
    multi = provider._multi_log_record_processor
    wrapped: dict[int, tuple[LogRecordProcessor, LogRecordProcessor]] = {}
    """By the identity of what was put before it: that, and the host's processor."""

    def put_before(processor: LogRecordProcessor) -> LogRecordProcessor:
        outer = wrap(processor)
        wrapped[id(outer)] = (outer, processor)
        return outer

    with multi._lock:
        present = [put_before(one) for one in multi._log_record_processors]
        multi._log_record_processors = type(multi._log_record_processors)([*present, *ours])
    add = provider.add_log_record_processor
    patch(
        provider,
        "add_log_record_processor",
        lambda log_record_processor: add(put_before(log_record_processor)),
    )

    def leave() -> None:
        with multi._lock:
            left = [one for one in multi._log_record_processors if not any(one is own for own in ours)]
            hosts = [wrapped[id(one)][1] if id(one) in wrapped else one for one in left]
            multi._log_record_processors = type(multi._log_record_processors)(hosts)

    return leave


def move_logger(logger: Logger, provider: LoggerProvider) -> None:
    """Let a logger that another provider made emit to this one."""
    logger._resource = provider.resource
    logger._multi_log_record_processor = provider._multi_log_record_processor
