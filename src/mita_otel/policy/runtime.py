"""The sections of a policy on exporters, instrumentation, health, and the start and end of the process."""

import re
from typing import Annotated, Final, Literal

from mita_otel.policy.section import Bounds, PositiveInt, Seconds, Section, Validator

StatusCodes = Annotated[str, Bounds(pattern=r"^[1-5][0-9]{2}(?:-[1-5][0-9]{2})?$")]
"""One HTTP status, or the first and the last of a range."""
_PATH: Final = re.compile(r"/[A-Za-z0-9._~/-]*\Z")


class QueuePolicy(Section):
    """The bounded queues between finished spans and exporters."""

    max_spans: PositiveInt
    """Spans that may wait for the pipeline. Further spans are dropped and counted."""
    max_batch: PositiveInt
    """Spans that an exporter receives at once."""
    delay_ms: Annotated[float, Bounds(gt=0)]
    """Milliseconds that a span waits for others before it is sent."""
    exporter_max_spans: PositiveInt
    """Spans that may wait for one exporter, and as many log records."""
    idle_s: Annotated[float, Bounds(gt=0)]
    """Seconds between two checks of the spans that an exporter holds, while there is no traffic."""

    @property
    def stage_delay_ms(self) -> float:
        """Milliseconds that a span waits in each of its two queues, the pipeline's and the exporter's: together `delay_ms`."""
        return self.delay_ms / 2


class SlicePolicy(Section):
    """Slices of background work: redaction, encoding, trace assembly. Requests continue between two slices."""

    work_ms: Annotated[float, Bounds(gt=0)]
    """Milliseconds of CPU time after which a background thread pauses."""
    pause_ms: Annotated[float, Bounds(gt=0)]
    """Milliseconds of the pause. There is none while a flush waits."""
    max_backlog: Annotated[float, Bounds(gt=0, le=1)]
    """Fraction of a queue; if more of it is filled, its thread does not pause, so that nothing is lost."""


class FilePolicy(Section):
    """The `file` exporter: JSON lines."""

    path: Annotated[str, Bounds(min_length=1)]
    """Path of the file, relative to the working directory. `MITA_OTEL_FILE` wins."""
    max_megabytes: PositiveInt
    """Size at which the file is moved to `PATH.1`."""


class MemoryPolicy(Section):
    """The `memory` exporter."""

    max_spans: PositiveInt
    """Newest spans that are kept."""


class ConsolePolicy(Section):
    """The `console` exporter: a waterfall."""

    max_width: Annotated[int, Bounds(ge=60, le=400)]
    """Columns, if the terminal is wider or the output is a file."""
    max_rows: PositiveInt
    """Rows of one trace; the rest is counted."""
    max_waiting_spans: PositiveInt
    """Finished spans that may wait for the end of their traces, all traces together."""
    max_wait_s: Seconds
    """Seconds after which a trace is printed although it has not ended."""


class ExportPolicy(Section):
    """Exporters and their queues."""

    traces: tuple[str, ...]
    """Entry-point names of the exporters. `OTEL_TRACES_EXPORTER` wins."""
    without_dsn: tuple[str, ...]
    """The exporters that are used in place of `sentry` if no DSN is set."""
    max_log_megabytes: Annotated[float, Bounds(gt=0)]
    """Estimated size of the log records that may wait for one exporter. Further ones are dropped and counted."""
    queue: QueuePolicy
    slices: SlicePolicy
    file: FilePolicy
    memory: MemoryPolicy
    console: ConsolePolicy


class InstrumentationPolicy(Section):
    """Instrumentation."""

    fastapi: Literal["auto", "native", "contrib", "off"]
    """Whose telemetry a FastAPI application uses: its own (0.163 and later) or the contrib package's."""
    fastapi_operation_spans: bool
    """Whether FastAPI's own telemetry adds spans for dependencies, endpoint and serialisation."""
    failed_request_status_codes: tuple[StatusCodes, ...]
    """Statuses of handled HTTP exceptions that count as errors: `"503"` or `"500-599"`."""
    error_request_body: bool
    """Whether the report of an error shows the request's body, redacted, where FastAPI's own telemetry knows it."""
    asgi_message_spans: bool
    """Whether the contrib instrumentation adds a span for each ASGI message."""
    logging: Literal["off", "DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"]
    """Lowest level of standard logging's records that become OpenTelemetry log records, if anything exports those."""
    access_log: Literal["redact", "off"]
    """Whether servers' access logs are redacted: path, query, headers. `off`: they stay as they are."""
    access_loggers: tuple[str, ...]
    """Names of the loggers that this applies to."""
    sqlalchemy: Literal["auto", "native", "contrib", "off"] | bool
    """Which instrumentation measures SQLAlchemy's statements: mita-otel's own (`"native"`, `"auto"`, true) or the contrib
    package's, which the extra `contrib` installs. `"off"` and false: no statement becomes a span."""
    sqlalchemy_connect_spans: bool
    """Whether waiting for a connection of the pool always becomes a span. Above `thresholds.checkout.limit_ms`, and
    when it fails, it does anyhow."""
    threads: bool
    """Whether threads, timers and thread pools inherit the context of the code that starts them."""

    def sqlalchemy_source(self) -> Literal["native", "contrib", "off"]:
        """Return which instrumentation measures SQLAlchemy's statements."""
        if self.sqlalchemy in {False, "off"}:
            return "off"
        return "contrib" if self.sqlalchemy == "contrib" else "native"

    def failed_ranges(self) -> list[tuple[int, int]]:
        """Return `failed_request_status_codes` as pairs of the first and the last status."""
        pairs = [one.partition("-") for one in self.failed_request_status_codes]
        return [(int(first), int(last or first)) for first, _, last in pairs]


class LifecyclePolicy(Section):
    """How the process starts and ends."""

    flush_timeout_s: Seconds
    """Seconds that `flush()` may take."""
    shutdown_timeout_s: Seconds
    """Seconds by which telemetry may delay the end of the process."""
    shutdown_metrics_share: Annotated[float, Bounds(ge=0, le=0.9)]
    """The part of them that is kept for metrics: they go last, since they say what the deadline has cut off of the
    rest. Without metrics the rest has all of it."""
    handle_signals: bool
    """Whether SIGTERM flushes before it does what it did before. Ctrl-C needs nothing: Python ends in order."""


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
