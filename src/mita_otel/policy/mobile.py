"""The section of a policy on the mobile gateway."""

import re
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

from mita_otel.policy.section import Bounds, InvalidKeys, PositiveInt, Seconds, Section, Validator
from mita_otel.policy.toml_text import KeyPath

READABLE_ITEMS: Final = frozenset(
    {
        "event", "transaction", "span", "session", "sessions", "client_report", "feedback", "user_report", "log",
        "trace_metric", "check_in",
    }
)  # fmt: skip
"""Types of envelope items that are JSON, and can be redacted."""
OPAQUE_ITEMS: Final = frozenset(
    {
        "attachment", "profile", "profile_chunk", "replay_event", "replay_recording", "replay_video", "statsd",
        "metric_buckets",
    }
)  # fmt: skip
"""Types of envelope items that cannot be redacted: pictures, recordings, compressed or binary data."""
OTLP_ITEMS: Final = frozenset({"otlp_traces"})
"""Types of OTLP data, which can be redacted."""

_PROJECT: Final = re.compile(r"[0-9A-Za-z_-]{1,64}\Z")
_KEY: Final = re.compile(r"[0-9A-Za-z]{8,64}\Z")
_PROJECT_NAME: Final = re.compile(r"[a-z][a-z0-9_-]{0,31}\Z")
_ORIGIN: Final = re.compile(r"(?:\*|https?://[^/\s]+)\Z")


def _project_id(text: str) -> None:
    if not _PROJECT.match(text):
        raise ValueError(f"{text!r} is no project; copy what follows the last slash of the app's DSN")


def _key(text: str) -> None:
    if not _KEY.match(text):
        raise ValueError(
            f"{text!r} is no public key; copy the part before the @ of the app's DSN: letters and digits"
        )


def _project_name(text: str) -> None:
    if not _PROJECT_NAME.match(text):
        raise ValueError(f"{text!r} is no name; write it in small letters, as in app")


def _origin(text: str) -> None:
    if not _ORIGIN.match(text):
        raise ValueError(f'{text!r} is no origin; write it as in https://app.example.com, or "*" for any')


def _dsn(text: str) -> None:
    if not text:
        return
    example = "it reads like https://KEY@o1.ingest.sentry.io/42"
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise ValueError(f"the upstream is no DSN ({error}); {example}") from error
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise ValueError(f"the upstream is no DSN: it needs http:// or https:// and a host; {example}")
    if not parts.username or not _KEY.match(parts.username):
        raise ValueError(f"the upstream is no DSN: it needs a public key before the @; {example}")
    if not _PROJECT.match(parts.path.rpartition("/")[2]):
        raise ValueError(f"the upstream is no DSN: it needs a project at its end; {example}")


ProjectId = Annotated[str, Validator(_project_id)]
PublicKey = Annotated[str, Validator(_key)]
ProjectName = Annotated[str, Validator(_project_name)]
Origin = Annotated[str, Validator(_origin)]
Dsn = Annotated[str, Validator(_dsn)]
Text = Annotated[str, Bounds(min_length=1, max_length=200)]
Megabytes = Annotated[float, Bounds(gt=0, le=1000)]

Priority = Literal["crash", "error", "health", "performance", "debug"]
"""Priorities, the one that is dropped last first."""
Action = Literal["forward", "forward_unredacted", "refuse"]


class MobileProject(Section):
    """An app whose telemetry is accepted. Other telemetry is refused."""

    id: ProjectId
    """The project in the app's DSN, `https://KEY@gateway.example/ID`."""
    keys: Annotated[tuple[PublicKey, ...], Bounds(min_length=1)]
    """Public keys that the app's DSN may have. Several are allowed while a key is replaced."""
    upstream: Dsn = ""
    """DSN of the Sentry project that receives the app's telemetry. Empty: it is not forwarded."""
    store: bool = False
    """Whether transactions, spans and errors are kept in the store."""
    service: Text = "mobile-app"
    """The app's service name in the store."""

    def check(self) -> None:
        """Require a destination."""
        if not self.upstream and not self.store:
            raise ValueError("this app has no destination; set upstream to a DSN, or store = true")


class IntakePolicy(Section):
    """Bounds of requests."""

    isolation: Literal["process", "thread"]
    """Where envelopes are unpacked and redacted: in a separate process, so that other routes do not wait for it, or on a
    thread."""
    threads: Annotated[int, Bounds(ge=1, le=32)]
    """Envelopes that are processed at the same time."""
    niceness: Annotated[int, Bounds(ge=0, le=19)]
    """Niceness of the separate process."""
    max_request_megabytes: Megabytes
    """Size of a compressed request."""
    max_envelope_megabytes: Megabytes
    """Size of an unpacked request."""
    max_ratio: PositiveInt
    """Ratio of unpacked to compressed size, checked from one megabyte. It stops decompression bombs."""
    max_header_kilobytes: Annotated[int, Bounds(ge=1, le=1024)]
    """Size of an envelope's header, and of an item's."""
    max_items: PositiveInt
    """Items of one envelope."""
    max_json_megabytes: Megabytes
    """Size of a JSON item. Sentry accepts one megabyte."""
    read_timeout_s: Seconds
    """Seconds that a request's body may take to arrive."""
    max_in_flight_megabytes: Megabytes
    """Size of all requests that are in memory at the same time."""
    max_in_flight: PositiveInt
    """Number of requests that are in memory at the same time."""
    max_client_megabytes: Megabytes
    """Bytes of one client in memory at the same time, counted as they arrive. A single request may be larger."""
    max_client_in_flight: PositiveInt
    """Requests of one client in memory at the same time."""
    min_bytes_per_s: Annotated[float, Bounds(ge=0)]
    """Lowest rate at which a body may arrive."""
    rate_window_s: Seconds
    """Seconds over which that rate is measured."""
    evict_after_s: Seconds
    """Age from which the slowest body is refused to admit a new request."""
    wait_s: Annotated[float, Bounds(ge=0, le=60)]
    """Seconds that a request waits for these bounds before the client is asked to retry later."""
    answer_timeout_s: Seconds
    """Seconds after which a request is answered although its processing has not ended."""
    news_s: Seconds
    """Seconds between two reports of the results of forwarding."""


class RatePolicy(Section):
    """Rate limits by client. Behind a proxy, the server has to know the client's address (`--proxy-headers`)."""

    client_burst: PositiveInt
    """Burst of requests of one client. An app that was offline sends about thirty envelopes."""
    client_per_minute: Annotated[float, Bounds(gt=0)]
    """Requests of one client a minute. Many phones may share one address."""
    total_burst: PositiveInt
    """Burst of requests of all clients."""
    total_per_minute: Annotated[float, Bounds(gt=0)]
    """Requests of all clients a minute."""
    request_cpu_ms: Annotated[float, Bounds(gt=0)]
    """CPU time of one request in milliseconds. A request that takes more counts as several, since its cost is known only
    afterwards."""
    max_clients: PositiveInt
    """Newest clients that are counted separately: IPv4 addresses and IPv6 networks of 64 bits."""


class ItemRule(Section):
    """How items of one type are handled."""

    action: Action
    """`forward`: redacted and forwarded. `forward_unredacted`: forwarded unchanged, for items that cannot be redacted.
    `refuse`: dropped and counted; the rest of the envelope is accepted."""
    priority: Priority
    """Priority when the spool is full: `debug` is dropped first, then `performance`, `health`, `error`, `crash`."""


class MobileSpoolPolicy(Section):
    """The spool: redacted envelopes that wait for Sentry, in files on a local disk."""

    folder: Annotated[str, Bounds(min_length=1)]
    """Folder; relative to the working directory. `MITA_OTEL_MOBILE_SPOOL` wins."""
    max_megabytes: PositiveInt
    """Size of the spool of each process. Beyond that the oldest envelopes of the lowest priority are dropped."""
    max_records: PositiveInt
    """Envelopes in the spool of each process."""
    durable: tuple[Priority, ...]
    """Priorities that are flushed to the disk before the app is answered. Others survive the end of the process, but not a
    power cut."""
    adopt_s: Seconds
    """Seconds between two searches for spools of dead processes."""
    hold_s: Seconds
    """Seconds for which the response to a crash or error is withheld while the spool is full. Apps send unanswered
    envelopes again, and drop envelopes that are answered with an error."""
    max_held: PositiveInt
    """Requests whose response is withheld at the same time."""

    @property
    def max_bytes(self) -> int:
        """Size of the spool of one process, in bytes."""
        return self.max_megabytes * 1_000_000

    def share_taken(self, records: int, size: int) -> float:
        """Return the fraction of one process's spool that this number of records and bytes takes; 1 is full."""
        return max(records / self.max_records, size / self.max_bytes)


class ForwardPolicy(Section):
    """Forwarding to Sentry."""

    senders: Annotated[int, Bounds(ge=1, le=32)]
    """Requests at the same time."""
    timeout_s: Seconds
    """Seconds one request may take."""
    retry_first_s: Seconds
    """Seconds after a first failure; doubled after each further one."""
    retry_max_s: Seconds
    """Longest delay between two attempts, in seconds."""
    wait_out_s: Annotated[float, Bounds(ge=0, le=600)]
    """Longest remaining time of a rate limit of Sentry, in seconds, for which crashes and errors (`spool.durable`) are still
    accepted: they wait in the spool, and apps are not rate-limited. 0: they are refused like other items."""
    compression_level: Annotated[int, Bounds(ge=0, le=9)]
    """Of gzip; 0: nothing is compressed."""


class MeasuredKind(Section):
    """How spans of one kind are recognised."""

    ops: tuple[Text, ...]
    """Operations of spans: Sentry's `op`."""
    prefixes: tuple[Text, ...]
    """Prefixes of the name, as in `Screen: PaymentScreen`."""
    suffixes: tuple[Text, ...]
    """Suffixes of the name, as in `PaymentScreen initial display`."""
    data: tuple[Text, ...]
    """Keys of the span's data with the name. They win."""


class MeasurePolicy(Section):
    """Spans that the limits of `thresholds.mobile` apply to."""

    screens: MeasuredKind
    requests: MeasuredKind
    operations: MeasuredKind
    max_names: PositiveInt
    """Distinct names, without those that have a separate limit. Apps can invent names."""


class MobileTagPolicy(Section):
    """Tags of an app's telemetry. The app's key is public, so tags are not trustworthy."""

    reserved: tuple[Text, ...]
    """Tags that only the gateway sets. An app's are removed."""
    set: dict[Text, Text]
    """Tags that the gateway adds to an app's telemetry."""


class CorsPolicy(Section):
    """Web pages that may send telemetry."""

    origins: tuple[Origin, ...]
    """Origins, as in `https://app.example.com`; `"*"`: any. Apps for phones need none."""
    max_age_s: Annotated[int, Bounds(ge=0, le=86_400)]
    """Seconds that a browser caches the permission."""


class MobilePolicy(Section):
    """The gateway for the telemetry of mobile apps."""

    projects: dict[ProjectName, MobileProject]
    """The apps, by a name of your choice. Empty: every request is refused."""
    unknown_items: Literal["refuse", "forward"]
    """How items of other types are handled. `forward`: JSON is redacted and forwarded."""
    items: dict[Text, ItemRule]
    """How items are handled, by type."""
    intake: IntakePolicy
    rate: RatePolicy
    spool: MobileSpoolPolicy
    forward: ForwardPolicy
    measure: MeasurePolicy
    tags: MobileTagPolicy
    cors: CorsPolicy

    def check(self) -> None:
        """Require distinct project ids, and actions that the types of items allow."""
        wrong: dict[KeyPath, str] = {}
        seen: dict[str, str] = {}
        for name, project in self.projects.items():
            other = seen.setdefault(project.id, name)
            if other != name:
                wrong["projects", name, "id"] = (
                    f"the projects {other} and {name} have the same id {project.id!r}; "
                    "put their keys into one project, or give one another id"
                )
        for name, rule in self.items.items():
            if name not in READABLE_ITEMS | OPAQUE_ITEMS | OTLP_ITEMS:
                known = ", ".join(sorted(READABLE_ITEMS | OPAQUE_ITEMS | OTLP_ITEMS))
                wrong["items", name] = f"{name!r} is no type of item that is known here; known: {known}"
            elif name in OPAQUE_ITEMS and rule.action == "forward":
                wrong["items", name] = (
                    f"items of type {name!r} cannot be redacted; refuse them, or say "
                    '"forward_unredacted" if they may leave as they are'
                )
        if wrong:
            raise InvalidKeys(wrong)
