"""What an error report says of the request: raw, since whoever sends the report redacts it as a whole."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def request_facts(scope: Mapping[str, Any]) -> dict[str, Any]:
    """Return a request as Sentry's request interface has it.

    Args:
        scope: The ASGI connection scope.

    Returns:
        `method`, `url` (without the query), `query_string`, `headers`, and the client's address in `env`.
    """
    headers: dict[str, str] = {}
    for name, value in scope.get("headers") or ():
        key = name.decode("latin-1")
        text = value.decode("latin-1")
        headers[key] = f"{headers[key]}, {text}" if key in headers else text
    host = headers.get("host") or ":".join(str(part) for part in scope.get("server") or ("localhost",))
    facts: dict[str, Any] = {
        "url": f"{scope.get('scheme', 'http')}://{host}{scope.get('root_path', '')}{scope.get('path', '')}",
        "query_string": (scope.get("query_string") or b"").decode("latin-1"),
        "headers": headers,
    }
    if scope.get("method"):
        facts["method"] = scope["method"]
    client = scope.get("client")
    if client:
        facts["env"] = {"REMOTE_ADDR": client[0]}
    return facts
