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
    """Paths of the health endpoints."""

    sentry: tuple[Path, ...]
    """Whether captured telemetry reaches the exporters."""
    error_monitoring: tuple[Path, ...]
    """Everything: exporters, queues, losses, redaction, audit trail, instrumentation."""
    live: tuple[Path, ...]
    """Whether the process answers at all."""
    ready: tuple[Path, ...]
    """Whether the process can receive requests. A backend that is down does not change the answer."""


class HealthPolicy(Section):
    """When telemetry is healthy."""

    stale_s: Annotated[float, Bounds(gt=0, le=86_400)]
    """Seconds without a successful export, while there was data to export, after which a check fails."""
    queue_share: Annotated[float, Bounds(gt=0, le=1)]
    """Fraction of a queue in use from which a check warns."""
    losses_s: Annotated[float, Bounds(gt=0, le=86_400)]
    """Seconds for which a check warns of a loss."""
    canary_s: Seconds
    """Seconds between two tests of redaction."""
    cache_s: Annotated[float, Bounds(ge=0, le=60)]
    """Seconds for which a health result is cached."""
    paths: HealthPaths


class DoctorPolicy(Section):
    """Bounds from which `mita-otel doctor` reports an error or a warning."""

    timeout_s: Annotated[float, Bounds(gt=0, le=300)]
    """Seconds that a host may take to answer. A check that takes twice as long is abandoned and reported."""
    slow_s: Seconds
    """Seconds to the first byte of Sentry's response from which it is slow."""
    max_skew_s: Seconds
    """Seconds between this machine's clock and a server's from which it is an error. Responses have whole seconds."""
    min_free_megabytes: Annotated[float, Bounds(ge=0)]
    """Free space on a spool's disk below which a check warns."""
    max_waiting_s: Annotated[float, Bounds(gt=0, le=604_800)]
    """Seconds that telemetry of mobile apps may wait on the disk before a check warns."""
