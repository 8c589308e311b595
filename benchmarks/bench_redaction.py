"""Microseconds to redact a server span and a database span, beside sentry-sdk's EventScrubber.

The scrubber looks at keys only; it is the floor, not an equal. Run it on a quiet machine.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from sentry_sdk.scrubber import EventScrubber

from mita_otel.policy import default_policy
from mita_otel.redaction import Redactor

SERVER_SPAN: dict[str, Any] = {
    "http.request.method": "POST",
    "url.scheme": "https",
    "server.address": "api.example.test",
    "server.port": 443,
    "network.protocol.version": "1.1",
    "url.path": "/api/accounts/42/transactions",
    "http.route": "/api/accounts/{account_id}/transactions",
    "client.address": "203.0.113.7",
    "user_agent.original": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0",
    "http.response.status_code": 201,
    "mita.operation": "transaction_processing",
    "mita.currency": "USD",
    "mita.amount": 1250.75,
    "user.id": "u_123",
    "url.query": "page=2&limit=50",
}
DATABASE_SPAN: dict[str, Any] = {
    "db.system": "postgresql",
    "db.namespace": "payments",
    "db.operation": "SELECT payments",
    "db.statement": (
        "SELECT accounts.id AS accounts_id, accounts.user_id AS accounts_user_id, accounts.balance AS accounts_balance, "
        "accounts.currency AS accounts_currency FROM accounts JOIN users ON users.id = accounts.user_id "
        "WHERE users.id = %(id_1)s AND accounts.currency = %(currency_1)s ORDER BY accounts.created_at DESC LIMIT 20"
    ),
    "server.address": "db.internal",
    "server.port": 5432,
    "db.user": "app",
    "net.transport": "ip_tcp",
}


def microseconds(call: Callable[[], object], rounds: int = 2000) -> float:
    """Return the best of seven averages."""
    call()
    best = float("inf")
    for _ in range(7):
        start = time.perf_counter()
        for _ in range(rounds):
            call()
        best = min(best, (time.perf_counter() - start) / rounds)
    return best * 1e6


def main() -> None:
    """Print the table."""
    redaction = default_policy().redaction
    warm = Redactor(redaction)
    cold = Redactor(redaction.replace(max_cached=0))
    scrubber = EventScrubber(recursive=True)
    print(
        f"{'span':<10}{'attributes':>11}{'repeated':>11}{'first time':>12}{'EventScrubber':>15}   (microseconds)"
    )
    for name, span in (("server", SERVER_SPAN), ("database", DATABASE_SPAN)):
        repeated = microseconds(lambda span=span: warm.attributes(span))  # type: ignore[misc]
        first = microseconds(lambda span=span: cold.attributes(span), 300)  # type: ignore[misc]
        peer = microseconds(lambda span=span: scrubber.scrub_dict(dict(span)))  # type: ignore[misc]
        print(
            f"{name:<10}{len(span):>11}{repeated:>11.1f}{first:>12.1f}{peer:>15.1f}   ratio {repeated / peer:.2f}"
        )


if __name__ == "__main__":
    main()
