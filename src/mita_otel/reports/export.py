"""Creates reports for the command line and for `export_compliance_report()`, and signs them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import orjson

from mita_otel.audit.anchors import read_anchors
from mita_otel.audit.canonical import AuditKeys
from mita_otel.audit.event import AuditEvent, AuditEventType
from mita_otel.audit.installed import current_runtime
from mita_otel.audit.runtime import AuditRuntime, anchor_path, authority_path
from mita_otel.audit.timestamps import read_timestamps
from mita_otel.errors import ConfigurationError
from mita_otel.policy import Policy
from mita_otel.reports.model import Report, ReportKind, ReportSeal
from mita_otel.reports.output import format_of, write_report
from mita_otel.reports.scope import ReportScope, last_days

_OPTIONS: Final = orjson.OPT_SORT_KEYS | orjson.OPT_UTC_Z


def create_report(
    kind: ReportKind,
    scope: ReportScope,
    runtime: AuditRuntime,
    policy: Policy,
    *,
    verified: bool = True,
    now: datetime | None = None,
    by: str | None = None,
    reviewed_by: str | None = None,
    on_progress: Callable[[str], None] | None = None,
    on_verified: Callable[[int, int], None] | None = None,
) -> Report:
    """Create a report from the store, and record it in the audit trail.

    Args:
        kind: Kind of report.
        scope: Period, service, environment and person, with the user id that the service uses.
        runtime: The audit trail and the store.
        policy: The policy.
        verified: Whether to verify the audit trail, if the report shows it.
        now: The current time; None reads the clock.
        by: Who requests the report; part of it, and of the entry about it.
        reviewed_by: Who reviewed the report; part of it.
        on_progress: Called with a description of the current step.
        on_verified: Called with the number of verified entries and of all entries.

    Raises:
        StoreError: The store cannot be used: its extra is not installed, or the database does not answer.
        AuditError: The anchors cannot be read.
    """
    database = runtime.database()
    from mita_otel.audit.verification.verify import verify
    from mita_otel.reports.report_builder import ReportInputs, build_report
    from mita_otel.store.migrate import require

    require(database, migrate=policy.store.migrate)
    runtime.trail.flush(policy.audit.mover.read_wait_s)
    anchors, timestamps = anchor_path(policy, os.environ), Path(policy.audit.anchors.timestamps)
    if scope.user_id is not None:
        scope = ReportScope(
            scope.period, scope.service, scope.environment, runtime.trail.user_id(scope.user_id)
        )
    inputs = ReportInputs(
        database=database,
        policy=policy,
        now=now or datetime.now(UTC),
        verify=(
            lambda: verify(
                database,
                runtime.keys,
                anchors=read_anchors(anchors) if anchors.exists() else (),
                timestamps=read_timestamps(timestamps) if timestamps.exists() else (),
                authority=authority_path(policy),
                max_lag_s=policy.audit.anchors.timestamp_max_lag_s,
                spool=runtime.folder,
                on_progress=on_verified,
            )
        )
        if verified
        else None,
        waiting_bytes=runtime.folder.waiting_bytes(),
        requested_by=by,
        reviewed_by=reviewed_by,
        on_progress=on_progress or (lambda step: None),
    )
    report = sealed(build_report(kind, scope, inputs), runtime.keys)
    runtime.trail.record(
        AuditEvent(
            event_type=AuditEventType.REPORT_EXPORT,
            user_id=by,
            resource_type="report",
            resource_id=kind,
            details={
                "start": report.start,
                "end": report.end,
                "service": scope.service,
                "environment": scope.environment,
                "of_one_person": scope.user_id is not None,
                "sha256": report.seal.sha256 if report.seal else None,
            },
        )
    )
    return report


def export_compliance_report(
    output_file: str | os.PathLike[str],
    user_id: str | None = None,
    days_back: int = 30,
    *,
    reader: str | None = None,
) -> Path:
    """Write a compliance report of the last days to a file, and verify the audit trail.

    The ending of the file selects the format: `.json`, `.csv`, `.md` or `.html`.

    Args:
        output_file: The file.
        user_id: Include only audit entries and errors of this user.
        days_back: Number of days to cover.
        reader: Who requests the report; part of it, and of the entry about it.

    Returns:
        Path of the file.

    Raises:
        AuditUnavailableError: `configure()` has not been called, or the audit trail is off.
        StoreError: The store cannot be used.
        ConfigurationError: The ending of the file is unknown, or `days_back` is not above 0.
        OSError: The file cannot be written.
    """
    runtime = current_runtime()
    path = Path(output_file)
    format_of(path)
    now = datetime.now(UTC)
    scope = ReportScope(last_days(days_back, now), user_id=user_id)
    return write_report(create_report("compliance", scope, runtime, runtime.policy, now=now, by=reader), path)


def sealed(report: Report, keys: AuditKeys | None) -> Report:
    """Return the report with its digest, signed if there is a key.

    Args:
        report: The report.
        keys: The keys of the audit trail. None: there is no trail.
    """
    digest = _digest(replace(report, seal=None))
    if keys is None or not keys.keyed:
        return replace(report, seal=ReportSeal(sha256=digest, signature=None, key_id=None))
    signature = keys.sign("report", digest.encode())
    return replace(report, seal=ReportSeal(sha256=digest, signature=signature, key_id=keys.current_id))


def check_seal(text: str | bytes, keys: AuditKeys) -> str:
    """Check a JSON report, and return what was checked.

    Args:
        text: The contents of the file.
        keys: The keys of the audit trail.

    Raises:
        ConfigurationError: It is no report, it has no seal, it was changed, or its signature cannot be checked.
    """
    try:
        report = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise ConfigurationError(
            f"the file is not JSON ({error}); seals are checked in the JSON report"
        ) from error
    seal = report.get("seal") if isinstance(report, dict) else None
    if not isinstance(seal, Mapping) or not isinstance(seal.get("sha256"), str):
        raise ConfigurationError(
            "the file has no seal: it is not a report, or it was created by an older version"
        )
    digest = _digest({**report, "seal": None})
    if digest != seal["sha256"]:
        raise ConfigurationError(
            f"the report was changed: its digest is {digest}, its seal says {seal['sha256']}"
        )
    signature, key_id = seal.get("signature"), seal.get("key_id")
    if not isinstance(signature, str) or not isinstance(key_id, str):
        return f"SHA-256 {digest}: unchanged, but not signed: anyone could have written it"
    if not keys.knows(key_id):
        raise ConfigurationError(
            f"the digest fits, but the key {key_id} is not known here; set MITA_OTEL_AUDIT_KEY, or add the key to "
            "MITA_OTEL_AUDIT_OLD_KEYS"
        )
    if not keys.verify("report", digest.encode(), signature, key_id):
        raise ConfigurationError(
            "the signature is invalid: the report was changed or written without the key"
        )
    return f"SHA-256 {digest}: unchanged, signed with key {key_id}"


def _digest(report: Report | Mapping[str, Any]) -> str:
    # Through JSON values, so that a report and the file written from it have the same bytes.
    values = orjson.loads(orjson.dumps(report, option=_OPTIONS))
    return hashlib.sha256(orjson.dumps(values, option=_OPTIONS)).hexdigest()
