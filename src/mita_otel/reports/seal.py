"""Digest and signature of a report, and their check."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import orjson

from mita_otel.audit.canonical import AuditKeys
from mita_otel.errors import ConfigurationError
from mita_otel.reports.model import Report, ReportSeal

_OPTIONS: Final = orjson.OPT_SORT_KEYS | orjson.OPT_UTC_Z


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
