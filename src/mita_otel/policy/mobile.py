"""The section of a policy that says what mobile apps may send, and what becomes of it."""

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
"""Types that cannot be redacted: pictures, recordings, compressed or binary data."""
OTLP_ITEMS: Final = frozenset({"otlp_traces"})
"""What comes over OTLP, and can be redacted."""

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
            f"{text!r} is no public key; copy what stands before the @ of the app's DSN: letters and digits"
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
"""What is given up last comes first."""
Action = Literal["forward", "forward_unredacted", "refuse"]


class MobileProject(Section):
    """An app whose telemetry is taken: nothing else is."""

    id: ProjectId
    """The project in the app's DSN, `https://KEY@gateway.example/ID`."""
    keys: Annotated[tuple[PublicKey, ...], Bounds(min_length=1)]
    """Public keys that the app's DSN may have. Several, while one replaces another."""
    upstream: Dsn = ""
    """DSN of the project in Sentry that gets what was taken. Empty: Sentry gets nothing."""
    store: bool = False
    """Whether transactions, spans and errors are kept in the store."""
    service: Text = "mobile-app"
    """What the app is called in the store."""

    def check(self) -> None:
        """Require a destination."""
        if not self.upstream and not self.store:
            raise ValueError("what this app sends would go nowhere; set upstream to a DSN, or store = true")


class IntakePolicy(Section):
    """Bounds of what is read."""

    isolation: Literal["process", "thread"]
    """Where envelopes are unpacked and redacted: in a process of its own, so that the routes beside the gateway
    do not wait for it, or on a thread."""
    threads: Annotated[int, Bounds(ge=1, le=32)]
    """Envelopes that are worked on at the same time."""
    niceness: Annotated[int, Bounds(ge=0, le=19)]
    """How far the process of its own stands back where there are not enough processors."""
    max_request_megabytes: Megabytes
    """Size of a request as it comes, compressed."""
    max_envelope_megabytes: Megabytes
    """Its size when it is unpacked."""
    max_ratio: PositiveInt
    """How many times larger than the request, once it has a megabyte. A bomb is more."""
    max_header_kilobytes: Annotated[int, Bounds(ge=1, le=1024)]
    """Size of an envelope's header, and of an item's."""
    max_items: PositiveInt
    """Items of one envelope."""
    max_json_megabytes: Megabytes
    """Size of an item that has to be read. Sentry takes a megabyte."""
    read_timeout_s: Seconds
    """Seconds that a request's body may take to arrive."""
    max_in_flight_megabytes: Megabytes
    """Requests that are in memory at the same time, all clients together."""
    max_in_flight: PositiveInt
    """Their number."""
    wait_s: Annotated[float, Bounds(ge=0, le=60)]
    """Seconds that a request waits for room among them, before it is asked to come back later."""
    answer_timeout_s: Seconds
    """Seconds after which a request is answered although its work has not ended."""
    news_s: Seconds
    """Seconds between two looks at what became of what waited."""


class RatePolicy(Section):
    """How much one client may send. Behind a proxy, let the server tell clients apart (`--proxy-headers`)."""

    client_burst: PositiveInt
    """Requests at once: an app that was offline has some thirty envelopes to send."""
    client_per_minute: Annotated[float, Bounds(gt=0)]
    """Requests a minute in the long run. Many phones may share one address."""
    total_burst: PositiveInt
    """Requests at once of all clients together."""
    total_per_minute: Annotated[float, Bounds(gt=0)]
    """Requests a minute of all clients together."""
    request_cpu_ms: Annotated[float, Bounds(gt=0)]
    """CPU time that one request may take; one that takes more counts as several. What an envelope unpacks to, and how
    long that takes to read, only shows afterwards."""
    max_clients: PositiveInt
    """Newest clients that are told apart: addresses, and networks of 64 bits of IPv6."""


class ItemRule(Section):
    """What becomes of items of one type."""

    action: Action
    """`forward`: redacted, then sent on. `forward_unredacted`: sent on as it is; all that can be done with what
    nobody can look into. `refuse`: dropped and counted, the rest of the envelope is taken."""
    priority: Priority
    """What is given up first when the spool is full: `debug`, then `performance`, `health`, `error`, `crash`."""


class MobileSpoolPolicy(Section):
    """Where what was taken waits for Sentry, redacted: files of their own, on a local disk."""

    folder: Annotated[str, Bounds(min_length=1)]
    """Folder; relative to the working directory. `MITA_OTEL_MOBILE_SPOOL` wins."""
    max_megabytes: PositiveInt
    """Size of what may wait, for each process. Beyond that the oldest of what matters least is given up."""
    max_parcels: PositiveInt
    """Envelopes that may wait, for each process."""
    durable: tuple[Priority, ...]
    """What is flushed to the disk before the app is answered. The rest survives the end of the process, not a
    power cut."""
    adopt_s: Seconds
    """Seconds between two looks for what processes that died have left."""
    hold_s: Seconds
    """Seconds that a crash or error for which there is no room is left without an answer: apps keep what nobody
    answered, and send it again; what is answered with any error they drop."""
    max_held: PositiveInt
    """Requests that are left without an answer at the same time."""

    @property
    def max_bytes(self) -> int:
        """What may wait of one process, in bytes."""
        return self.max_megabytes * 1_000_000

    def share_taken(self, parcels: int, size: int) -> float:
        """Return how much of the room that one process has is taken by so many parcels and bytes: 1 is all of it."""
        return max(parcels / self.max_parcels, size / self.max_bytes)


class ForwardPolicy(Section):
    """How what was taken goes on."""

    senders: Annotated[int, Bounds(ge=1, le=32)]
    """Requests at the same time."""
    timeout_s: Seconds
    """Seconds one request may take."""
    retry_first_s: Seconds
    """Seconds after a first failure; doubled after each further one."""
    retry_max_s: Seconds
    """Most seconds between two tries."""
    wait_out_s: Annotated[float, Bounds(ge=0, le=600)]
    """Seconds that a limit of Sentry's may still last while crashes and errors (what `spool.durable` names) are taken all
    the same: they wait in the spool for its end, and apps are not told of it. 0: they are refused like anything else."""
    compression_level: Annotated[int, Bounds(ge=0, le=9)]
    """Of gzip; 0: nothing is compressed."""


class MeasuredKind(Section):
    """How spans of one kind are known."""

    ops: tuple[Text, ...]
    """Operations of spans: Sentry's `op`."""
    prefixes: tuple[Text, ...]
    """What stands before the name, as in `Screen: PaymentScreen`."""
    suffixes: tuple[Text, ...]
    """What stands after it, as in `PaymentScreen initial display`."""
    data: tuple[Text, ...]
    """Keys of the span's data that hold the name; they win."""


class MeasurePolicy(Section):
    """Which spans are held to the limits of `thresholds.mobile`."""

    screens: MeasuredKind
    requests: MeasuredKind
    operations: MeasuredKind
    max_names: PositiveInt
    """Names that are told apart, those that have a limit of their own aside: anybody can make one up."""


class MobileTagPolicy(Section):
    """Tags of what an app sends. Its key is public: anybody can claim anything."""

    reserved: tuple[Text, ...]
    """Tags that only the gateway sets; an app's are left out."""
    set: dict[Text, Text]
    """Tags that everything from an app gets."""


class CorsPolicy(Section):
    """Which web pages may send."""

    origins: tuple[Origin, ...]
    """Origins, as in `https://app.example.com`; `"*"`: any. Apps for phones need none."""
    max_age_s: Annotated[int, Bounds(ge=0, le=86_400)]
    """Seconds that a browser remembers that it may."""


class MobilePolicy(Section):
    """The gateway for the telemetry of mobile apps."""

    projects: dict[ProjectName, MobileProject]
    """The apps, by a name of your choice. None: everything is refused."""
    unknown_items: Literal["refuse", "forward"]
    """What becomes of items of a type that is not below. `forward`: if they are JSON, redacted."""
    items: dict[Text, ItemRule]
    """What becomes of items, by type."""
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
