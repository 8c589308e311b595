"""The section of a policy on the audit trail."""

import re
from typing import Annotated, Literal

from mita_otel.policy.section import Bounds, PositiveInt, Seconds, Section, Validator

_EVENT_TYPE = re.compile(r"[a-z][a-z0-9_.]{0,63}\Z")


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
