"""Words that follow a colon in prose, as in `password: must not be empty`: they are no values."""

from __future__ import annotations

from typing import Final

PROSE: Final = frozenset({
    "a", "absent", "accepted", "already", "an", "and", "any", "are", "be", "been", "blank", "bool", "bytes",
    "can", "cannot", "changed", "confirmed", "consent", "cookie", "cookies", "correct", "declined",
    "default", "denied", "disabled", "do", "does", "empty", "enabled", "expired", "expires", "failed",
    "false", "field", "for", "found", "from", "given", "has", "have", "header", "headers", "in",
    "incorrect", "int", "invalid", "is", "it", "kwargs", "length", "locked", "malformed", "match",
    "matches", "mismatch", "missing", "must", "nil", "no", "none", "not", "null", "of", "ok", "on",
    "optional", "or", "present", "provided", "rejected", "required", "reset", "revoked", "sent", "set",
    "should", "str", "string", "the", "this", "to", "token", "too", "true", "undefined", "unknown", "unset",
    "updated", "used", "valid", "value", "verified", "was", "were", "will", "with", "wrong", "you", "your",
})  # fmt: skip
