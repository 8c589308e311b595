"""The sections of a policy on the health of telemetry: endpoints and `mita-otel doctor`."""

import re
from typing import Annotated, Final

from mita_otel.policy.section import Bounds, Seconds, Section, Validator

_PATH: Final = re.compile(r"/[A-Za-z0-9._~/-]*\Z")


def _path(text: str) -> None:
    if not _PATH.match(text):
        raise ValueError(f"{text!r} is not a path; write it as in /health/sentry")


Path = Annotated[str, Validator(_path)]


class HealthPaths(Section):
    """Where the health endpoints are."""

    sentry: tuple[Path, ...]
    """Whether what is captured reaches the exporters."""
    error_monitoring: tuple[Path, ...]
    """Everything: exporters, queues, losses, redaction, audit trail, instrumentation."""
    live: tuple[Path, ...]
    """Whether the process answers at all."""
    ready: tuple[Path, ...]
    """Whether the process may be sent requests. A back end that is down is no reason to say no."""


class HealthPolicy(Section):
    """When telemetry itself is well."""

    stale_s: Annotated[float, Bounds(gt=0, le=86_400)]
    """Seconds without a successful export, while there was something to export, that are a failure."""
    queue_share: Annotated[float, Bounds(gt=0, le=1)]
    """How full a queue may be before that is a warning."""
    losses_s: Annotated[float, Bounds(gt=0, le=86_400)]
    """Seconds for which a loss is a warning."""
    canary_s: Seconds
    """Seconds between two looks at whether redaction works."""
    cache_s: Annotated[float, Bounds(ge=0, le=60)]
    """Seconds for which an answer is given again: asking often costs nothing."""
    paths: HealthPaths


class DoctorPolicy(Section):
    """What `mita-otel doctor` finds fault with."""

    timeout_s: Annotated[float, Bounds(gt=0, le=300)]
    """Seconds that a host may take to answer. A look that has no end after twice as many is given up, and that is said."""
    slow_s: Seconds
    """Seconds to the first byte of Sentry's answer that are slow."""
    max_skew_s: Seconds
    """Seconds between this machine's clock and that of a server which are a fault. An answer tells whole seconds."""
    min_free_megabytes: Annotated[float, Bounds(ge=0)]
    """Room on a spool's disk below which somebody should look."""
    max_waiting_s: Annotated[float, Bounds(gt=0, le=604_800)]
    """Seconds for which what mobile apps sent may wait on the disk before somebody should look."""
