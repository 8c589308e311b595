"""The sections of a policy on what is kept: the store, the audit trail, retention periods, summaries and reports."""

import re
import tomllib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal, get_args

from mita_otel.policy.section import (
    Bounds,
    InvalidKeys,
    NonNegativeInt,
    PositiveInt,
    Seconds,
    Section,
    Validator,
)
from mita_otel.policy.toml_text import KeyPath

_TIME = re.compile(r"([01]\d|2[0-3]):[0-5]\d\Z")
DataClass = Literal["audit", "errors", "performance", "debug"]
"""A class of data with a retention period."""
DATA_CLASSES: tuple[DataClass, ...] = get_args(DataClass)
_EVENT_TYPE = re.compile(r"[a-z][a-z0-9_.]{0,63}\Z")


def _time_of_day(text: str) -> None:
    if not _TIME.match(text):
        raise ValueError(f"{text!r} is not a time of day; write it as in 03:15")


def _known(names: tuple[str, ...]) -> None:
    known = sorted({minimum.regulation for minimum in minimums()})
    for name in names:
        if name not in known:
            raise ValueError(f"{name!r} is not a regulation that is known here; known: {', '.join(known)}")


TimeOfDay = Annotated[str, Validator(_time_of_day)]


class RetentionPolicy(Section):
    """Retention periods."""

    regulations: Annotated[tuple[str, ...], Validator(_known)]
    """Regulations that apply: what they ask for cannot be shortened. Take one out only if it does not apply."""
    audit_days: PositiveInt
    """Days that audit entries are kept."""
    errors_days: PositiveInt
    """Days that errors, security and compliance events are kept."""
    performance_days: PositiveInt
    """Days that latency windows, breaches and counts of redactions are kept."""
    debug_days: PositiveInt
    """Days that single traces are kept."""
    schedule: Literal["off", "daily"]
    """`daily`: one process deletes data past its retention period. `off`: cron runs `mita-otel retention apply`."""
    at: TimeOfDay
    """When, UTC, as in `03:15`."""
    max_batch: Annotated[int, Bounds(ge=1, le=100_000)]
    """Rows that are deleted in one transaction."""
    max_clock_ahead_days: PositiveInt
    """If the clock is further than this ahead of the newest entry, nothing is deleted: the clock is wrong."""
    minutes_after_days: PositiveInt
    """Days after which latency windows of a minute become windows of an hour."""
    hours_after_days: PositiveInt
    """Days after which latency windows of an hour become windows of a day."""

    def check(self) -> None:
        """Require at least the days that the regulations ask for."""
        wrong: dict[KeyPath, str] = {
            (f"{data}_days",): said for data in DATA_CLASSES if (said := self._too_short(data))
        }
        if wrong:
            raise InvalidKeys(wrong)

    def _too_short(self, data: DataClass) -> str:
        days = self.days(data)
        for minimum in minimums():
            if minimum.data == data and minimum.regulation in self.regulations and days < minimum.days:
                return (
                    f"{days} days are too short: {minimum.regulation} asks for {minimum.days} ({minimum.reason}). "
                    f"Keep them longer; only where {minimum.regulation} does not apply to you, take it out of "
                    "retention.regulations"
                )
        return ""

    def days(self, data: DataClass) -> int:
        """Return for how many days a class of data is kept."""
        return int(getattr(self, f"{data}_days"))


@dataclass(frozen=True, slots=True)
class Minimum:
    """A retention period that a regulation requires."""

    regulation: str
    """As in `PCI DSS 10.5.1`."""
    data: str
    """The class of data: `audit`, `errors`, `performance` or `debug`."""
    days: int
    """For how long it is kept, at least."""
    at_hand_days: int
    """Of these, how many must be ready to be searched at once."""
    reason: str


@lru_cache(maxsize=1)
def minimums() -> tuple[Minimum, ...]:
    """Return the retention periods that the known regulations require."""
    text = Path(__file__).with_name("regulations.toml").read_text("utf-8")
    return tuple(Minimum(**one) for one in tomllib.loads(text)["minimum"])


class StorePolicy(Section):
    """The database that audit entries, errors, breaches, latency windows and kept traces are kept in."""

    url: Annotated[str, Bounds(min_length=1)]
    """SQLAlchemy's URL of the database. `MITA_OTEL_DATABASE_URL` wins; a password belongs there, not here."""
    migrate: bool
    """Whether tables are made and brought up to date when the store is first used. Otherwise
    `mita-otel store migrate` does it, with a role that may."""
    connect_timeout_s: Seconds
    """Seconds that a connection may take."""
    statement_timeout_s: Seconds
    """Seconds that a statement of the writer may take (PostgreSQL)."""
    lock_timeout_s: Seconds
    """Seconds that the writer waits for a lock, or for SQLite's only writer."""
    pool_size: PositiveInt
    """Connections of one process."""


class SummaryPolicy(Section):
    """What `get_performance_summary` can look back on. Memory is bounded by these numbers."""

    minutes: Annotated[int, Bounds(ge=60, le=1440)]
    """Minutes that are kept one by one; what is older is kept by the hour."""
    hours: Annotated[int, Bounds(ge=1, le=168)]
    """Hours that are kept."""
    max_operations: PositiveInt
    """Distinct operations. The rest of a category is one operation, `(other)`."""
    slowest: Annotated[int, Bounds(ge=0, le=100)]
    """The slowest spans of an operation and minute whose trace ids are kept."""
    relative_error: Annotated[float, Bounds(ge=0.001, le=0.1)]
    """By how much of its value a percentile may be off."""
    wait_ms: NonNegativeInt
    """Milliseconds that a summary may wait until spans that ended before it are counted."""


class ReportPolicy(Section):
    """Whom a report is about, and how much it shows."""

    organisation: str
    """Name of the organisation, for the head of each report."""
    scope: str
    """What is assessed, in your words, as in `card payments, production, two services`."""
    max_examples: PositiveInt
    """Counter-examples that are listed for each requirement; all are counted."""
    max_searched: NonNegativeInt
    """Newest errors, spans and audit entries that are searched for card data, of each."""
    max_operations: PositiveInt
    """Operations of a table; the rest is counted."""
    max_groups: PositiveInt
    """Groups of errors of a table; the rest is counted."""
    max_events: PositiveInt
    """Security events, slow spans and findings that are listed."""
    summary_rows: PositiveInt
    """Rows of each of these tables in an executive summary."""
    max_gaps: PositiveInt
    """Stretches without data that are listed."""
    gap_minutes: PositiveInt
    """Minutes without any span that are a gap."""


def _event_type(name: str) -> None:
    if not _EVENT_TYPE.match(name):
        raise ValueError(
            f"{name!r} is not a type of audit event; write it as in payment_process or loan.approve"
        )


EventTypeName = Annotated[str, Validator(_event_type)]
"""Name of an audit event type."""


class SpoolPolicy(Section):
    """Files that entries are written to first, and flushed to the disk before the caller continues."""

    folder: Annotated[str, Bounds(min_length=1)]
    """Folder of the spool, on a local disk; relative to the working directory. `MITA_OTEL_AUDIT_SPOOL` wins."""
    commit: Literal["group", "entry", "write"]
    """`group`: entries of several threads share one flush to the disk. `entry`: each has its own. `write`: the
    operating system has the entry, the disk gets it within `mover.delay_ms`: it survives the end of the process,
    not a power cut. For services whose event loop must not wait for a disk."""
    segment_kilobytes: PositiveInt
    """Size at which the next file starts. A file is deleted once all its entries are in the database."""
    segment_s: Seconds
    """Age at which the next file starts."""
    warn_megabytes: PositiveInt
    """Waiting entries of this size are a warning in the log and in the health view."""


class MoverPolicy(Section):
    """The thread that moves entries from the spool to the database."""

    max_batch: Annotated[int, Bounds(ge=1, le=10_000)]
    """Entries of one database transaction."""
    delay_ms: Annotated[float, Bounds(gt=0)]
    """Milliseconds that an entry waits for others, to share a transaction."""
    retry_first_s: Seconds
    """Seconds after a first failure; doubled after each further one."""
    retry_max_s: Seconds
    """Longest delay between two attempts, in seconds."""
    adopt_s: Seconds
    """Seconds between two searches for spools of dead processes."""
    read_wait_s: Seconds
    """Seconds that a read of the trail waits for entries on their way to the database."""


class AnchorPolicy(Section):
    """Signed records of the end of each chain, kept outside the database.

    Without them, deleting the last entries of a chain is not detected.
    """

    path: Annotated[str, Bounds(min_length=1)]
    """File that the notes are appended to. Copy or ship it elsewhere; `MITA_OTEL_AUDIT_ANCHORS` wins."""
    every_s: Seconds
    """Seconds between two notes of the same chain while it grows."""
    url: str
    """Where each note is posted as well (JSON); empty: nowhere."""
    timeout_s: Seconds
    """Seconds one post may take."""
    timestamp_url: str
    """Address of a time-stamping authority (RFC 3161) that signs when each anchor existed; empty: none."""
    timestamps: Annotated[str, Bounds(min_length=1)]
    """File that timestamped anchors are appended to."""
    timestamp_authority: str
    """File with the certificates of the authority (PEM), which the verification compares signatures with; empty: signatures are
    verified with the certificates in the timestamps, and the signer is unknown."""
    timestamp_max_lag_s: Seconds
    """Seconds between an anchor and its timestamp. The verification reports anchors that were timestamped later."""


class AuditPolicy(Section):
    """How the audit trail is kept."""

    start: Literal["on_demand", "configure", "off"]
    """`configure`: the trail starts, with an entry about the policy, when telemetry does. `on_demand`: with
    the first entry, or like `configure` where `MITA_OTEL_DATABASE_URL` is set. `off`: there is none."""
    on_failure: Literal["raise", "log"]
    """What happens if an entry cannot be written: the caller gets an exception, or a line is logged."""
    personal: tuple[str, ...]
    """Names in details whose values are personal data. They are stored separately, so that they can be erased."""
    max_entry_kilobytes: PositiveInt
    """Size of an entry's details. Larger details are replaced by their digest."""
    operations: dict[str, EventTypeName]
    """What an operation becomes, by the category of the financial API; any other is a `financial_operation`."""
    security: dict[str, EventTypeName]
    """What a security event becomes, by its type; any other is a `security_event`."""
    data_access: bool
    """Whether each request that touches cardholder data (`finance.pci_segments`) is an entry, before its answer."""
    log_records: bool
    """Whether each entry is an OpenTelemetry log record as well, for a SIEM."""
    spool: SpoolPolicy
    mover: MoverPolicy
    anchors: AnchorPolicy
