"""The user of an operation."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Final
from uuid import UUID

from mita_otel import semconv
from mita_otel.errors import raise_interrupt

UserId = str | int | UUID
"""A user's id in the application."""


@dataclass(frozen=True)
class UserContext:
    """A user of a financial service: the fields that errors and traces may contain.

    Only the id is required. `email`, `location`, the device, the session and the address are part of errors, never of spans. The redaction policy decides
    whether they are shown (`redaction.modes.email`).
    """

    user_id: UserId
    """The id, preferably a pseudonym."""
    email: str | None = None
    subscription_tier: str | None = None
    """For example `premium`."""
    account_type: str | None = None
    """For example `business`."""
    risk_level: str | None = None
    """The risk assessment, for example `low`."""
    location: str | Mapping[str, Any] | None = None
    last_login: dt.datetime | str | None = None
    device_info: str | None = None
    session_id: str | None = None
    """An identifier of the session that is no credential."""
    ip_address: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Further data for errors."""

    @property
    def id(self) -> str:
        """The id as text."""
        return str(self.user_id)

    def attributes(self) -> dict[str, str]:
        """Return the attributes of spans: the id and three classes, nothing else personal."""
        found = {semconv.USER_ID: str(self.user_id)}
        if self.subscription_tier is not None:
            found[semconv.USER_TIER] = str(self.subscription_tier)
        if self.account_type is not None:
            found[semconv.USER_ACCOUNT_TYPE] = str(self.account_type)
        if self.risk_level is not None:
            found[semconv.USER_RISK_LEVEL] = str(self.risk_level)
        return found

    def context(self) -> dict[str, Any]:
        """Return the user context of errors."""
        own = {
            one.name: getattr(self, one.name) for one in fields(self) if one.name not in {"user_id", "extra"}
        }
        known = {name: value for name, value in own.items() if value is not None}
        return {"id": self.id, **known, **self.extra}


_SHOWN: Final = ("email", "subscription_tier", "account_type", "risk_level")


def is_missing(user_id: object) -> bool:
    """Return whether a user id is missing: None or an empty text."""
    return user_id is None or (isinstance(user_id, str) and not user_id.strip())


def user_of(user: object, id_fields: Sequence[str]) -> UserContext | None:
    """Return the user of an application's object, or None if it has no id.

    Args:
        user: An id, a mapping of claims, an object with attributes, or a `UserContext`.
        id_fields: Names of the id; the first match wins.
    """
    if is_missing(user):
        return None
    if isinstance(user, UserContext):
        return None if is_missing(user.user_id) else user
    if isinstance(user, str | int | UUID) and not isinstance(user, bool):
        return UserContext(user)
    if _read(user, "is_authenticated") is False:  # Starlette's and Django's anonymous user
        return None
    user_id = next((value for name in id_fields if not is_missing(value := _read(user, name))), None)
    if user_id is None:
        user_id = _identity(user)
    if user_id is None or isinstance(user_id, bool):
        return None
    shown: dict[str, Any] = {name: str(value) for name in _SHOWN if (value := _read(user, name)) is not None}
    return UserContext(user_id if isinstance(user_id, str | int | UUID) else str(user_id), **shown)


def _identity(user: object) -> Any:
    """Return the primary key of an expired SQLAlchemy object, without a query."""
    identity = _read(_read(user, "_sa_instance_state"), "identity")
    return identity[0] if isinstance(identity, tuple) and len(identity) == 1 else None


def _read(user: object, name: str) -> Any:
    """Return a member without side effects: an attribute of a mapped object could run a query."""
    try:
        if isinstance(user, Mapping):
            return user.get(name)
        if hasattr(user, "_sa_instance_state"):
            return vars(user).get(name)
        return getattr(user, name, None)
    except BaseException as error:  # noqa: BLE001 - an application's property may raise anything
        raise_interrupt(error)
        return None
