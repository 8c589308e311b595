"""The tags that the guide's alert rules trigger on, and where each comes from."""

from __future__ import annotations

from typing import Final

from mita_otel import semconv

TAG_OF: Final = {
    "financial_operation": semconv.OPERATION,
    "severity": semconv.SEVERITY,
    "error_category": semconv.ERROR_CATEGORY,
    "transaction_id": semconv.TRANSACTION_ID,
}
"""Tag and attribute."""

MAX_TAG: Final = 200
"""Characters of a tag's value: Sentry cuts longer ones."""
