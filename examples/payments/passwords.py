"""Hashes passwords."""

from __future__ import annotations

import hashlib
import hmac

_SALT = b"an example has one salt; a service has one for each password"


def hash_password(password: str) -> str:
    return hashlib.pbkdf2_hmac("sha256", password.encode(), _SALT, 20_000).hex()


def matches(password: str, password_hash: str) -> bool:
    return hmac.compare_digest(hash_password(password), password_hash)
