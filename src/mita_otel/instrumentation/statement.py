"""Operation and table of a statement, for a span's name: cheap, bounded, and content to know neither."""

from __future__ import annotations

import re
from functools import lru_cache

from mita_otel.latency.sql import verb

# Enough to find the first table of any statement that a person wrote.
_LOOKED_AT = 4096

_COLLECTION = re.compile(
    r"\b(?:FROM|INTO|UPDATE|TABLE)\s+(?:ONLY\s+|IF\s+(?:NOT\s+)?EXISTS\s+)?"
    r"[\"`\[]?([A-Za-z_][\w$]*)[\"`\]]?(?:\.[\"`\[]?([A-Za-z_][\w$]*))?",
    re.IGNORECASE,
)


@lru_cache(maxsize=512)
def summarise(statement: str) -> tuple[str | None, str | None]:
    """Return the statement's verb in capitals, and its first table, as in ("SELECT", "accounts")."""
    head = statement[:_LOOKED_AT]
    operation = verb(head)
    found = _COLLECTION.search(head)
    return operation, (found.group(2) or found.group(1)) if found else None
