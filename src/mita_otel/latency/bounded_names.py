"""Bounded names: what differs from one message or one request to the next is replaced by a placeholder.

The names of temporary queues and of queues for one user, job or session would otherwise be an operation each.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from mita_otel import semconv

ID: Final = "{id}"
TEMPORARY: Final = "(temporary)"
ANONYMOUS: Final = "(anonymous)"
MAX_LENGTH: Final = 200
"""Longest name of a transaction in Sentry, in characters."""

_GENERATED: Final = re.compile(
    r"amq\.gen-|amq\.rabbitmq\.reply-to|_INBOX\.|temp-(?:queue|topic)://|(?:queue|topic)?://?temp|ActiveMQ\.Temp|\$TMP\$"
)
"""The beginnings of names that RabbitMQ, NATS, JMS brokers and IBM MQ generate."""
_UUID: Final = re.compile(
    r"(?i)(?<![0-9a-f])(?:[0-9a-f]{32}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})(?![0-9a-f])"
)
_MAIL: Final = re.compile(r"[\w.+%-]{1,64}(?:@|%40)[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){1,8}")
"""An e-mail address, or a queue of one worker, such as `celery@host-7.celery.pidbox`."""
_TOKEN: Final = re.compile(r"[A-Za-z0-9_]+")
_VARIABLE: Final = re.compile(
    r"\d+|(?=[0-9a-f]*\d)(?=\d*[a-f])[0-9a-f]{8,}|(?=[a-z_]*[0-9A-Z])(?=[A-Z_]*[0-9a-z])(?=\D*\d)[A-Za-z0-9_]{16,}"
)
"""A number, hexadecimal digits, or a random-looking word."""
_AGAIN: Final = re.compile(r"\{id\}(?:[.\-_:/]\{id\})+")
_ADDRESS: Final = re.compile(
    r"(?:https?://[^/]*/(?:[^/]*/)*|arn:[^/]*:|projects/[^/]*/(?:topics|subscriptions)/)"
)
"""The part of a queue's address before its name: of Amazon SQS and SNS, Google Pub/Sub."""


def bounded_name(name: str) -> str:
    """Return a name with `{id}` for each number, UUID, hexadecimal id, e-mail address and random-looking word."""
    name = _UUID.sub(ID, _MAIL.sub(ID, name[: 2 * MAX_LENGTH]))
    parts = [part if part == ID else _TOKEN.sub(_blank, part) for part in re.split(r"(\{id\})", name)]
    return _AGAIN.sub(ID, "".join(parts))[:MAX_LENGTH]


def bounded_destination(attributes: Mapping[str, Any]) -> str | None:
    """Return the bounded name of the queue or topic of a span, or None if it names none."""
    template = attributes.get("messaging.destination.template")
    if template:
        return str(template)
    if _says(attributes, "messaging.destination.temporary", "messaging.temp_destination"):
        return TEMPORARY
    if _says(attributes, "messaging.destination.anonymous"):
        return ANONYMOUS
    destination = str(semconv.first(attributes, semconv.MESSAGING_DESTINATION) or "")
    if not destination:
        return None
    if _GENERATED.match(destination):
        return TEMPORARY
    address = _ADDRESS.match(destination)
    return bounded_name(destination[address.end() :] if address else destination)


def _blank(token: re.Match[str]) -> str:
    return ID if _VARIABLE.fullmatch(token.group()) else token.group()


def _says(attributes: Mapping[str, Any], *names: str) -> bool:
    return any(str(attributes.get(name, "")).lower() == "true" for name in names)
