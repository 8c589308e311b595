"""What follows a name and a colon: a value, or prose, as in `password: must not be empty`."""

from __future__ import annotations

from typing import Final

PROSE: Final = frozenset({
    "a", "absent", "accepted", "already", "always", "an", "and", "any", "are", "bad", "be", "been",
    "between", "blank", "bool", "both", "bytes", "can", "cannot", "changed", "choose", "compulsory",
    "confirmed", "consent", "containing", "contains", "cookie", "cookies", "correct", "could", "declined",
    "default", "denied", "deprecated", "disabled", "do", "does", "either", "empty", "enabled", "enter",
    "entirely", "exceeds", "expected", "expired", "expires", "failed", "false", "field", "for", "forbidden",
    "found", "from", "given", "got", "has", "have", "header", "headers", "in", "incorrect", "input", "int",
    "invalid", "is", "it", "kwargs", "least", "length", "locked", "longer", "malformed", "mandatory",
    "match", "matches", "maximum", "may", "might", "minimum", "mismatch", "missing", "must", "needed",
    "neither", "never", "nil", "no", "none", "not", "null", "numeric", "of", "ok", "on", "only", "optional",
    "or", "please", "present", "provided", "received", "refused", "rejected", "required", "reset",
    "revoked", "sent", "set", "shorter", "should", "similar", "still", "str", "string", "strong", "the",
    "this", "to", "token", "too", "true", "type", "unauthorized", "undefined", "unexpected", "unknown",
    "unset", "unsupported", "updated", "used", "valid", "value", "verified", "was", "weak", "were", "will",
    "with", "wrong", "you", "your",
})  # fmt: skip

_MIN_TELLING: Final = 16


def is_prose(value: str) -> bool:
    """Tell whether what follows a name is a word of prose."""
    return value.lower().strip(".!") in PROSE


def is_telling(value: str) -> bool:
    """Tell whether what follows a common word (`key: …`) looks like a value: a digit, or sixteen characters."""
    return any(char.isdigit() for char in value) or len(value) >= _MIN_TELLING
