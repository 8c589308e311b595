"""Runs the example with sentry-sdk's own tracing and with mita-otel; writes the comparison table of docs/sentry.md.

    make side-by-side

Both runs use a fresh database and the same requests. The table compares what a receiver got. It contains only facts that
are the same on every machine; a test compares the documentation with it.
"""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from e2e import canaries
from e2e.receiver import Receiver
from e2e.service import Service
from e2e.transactions import database_spans, named, requests, trace_of

ROOT: Final = Path(__file__).parents[2]
PAGE: Final = ROOT / "docs" / "sentry.md"
_EXAMPLE: Final = ROOT / "examples" / "payments"
_BEGIN, _END = "<!-- side by side: make side-by-side -->", "<!-- end -->"

_WITH_SENTRY_SDK: Final = """\
import os

import sentry_sdk

sentry_sdk.init(traces_sample_rate=float(os.environ["RATE"]))

from bank import app  # noqa: E402
"""
"""From Sentry's documentation on FastAPI."""

SECRETS: Final = {
    "card in a path": "4111111111111111",
    "card in a query and in a statement": "5555555555554444",
    "card in an exception": "4000000000000002",
    "token in a query": "tok-qW8xZr2LmN5v",
    "API key in a header": "hdr-Jp7Kd0WsVb4y",
    "password in a log line": "hunter2-Zx81Qp",
    "account number in a database's error": "000123456789",
    "IBAN in a database's error": "DE89370400440532013000",
}
_DECLINED = {"card_number": SECRETS["card in an exception"], "cvv": "737", "amount": "10", "payee": "Shop"}
_TAKEN = {
    "customer_id": 1,
    "account_number": SECRETS["account number in a database's error"],
    "iban": SECRETS["IBAN in a database's error"],
}
_LOGIN = {"email": "ada@example.com", "password": SECRETS["password in a log line"]}
_PAID = {"card_number": SECRETS["card in a path"], "cvv": "123", "amount": "9.90", "payee": "Corner Market"}
_SEARCH = {"card_number": SECRETS["card in a query and in a statement"], "pin": "8642"}

Request = tuple[str, str, dict[str, Any]]
SLOW_REQUEST: Final[Request] = ("GET", "/api/accounts/1/balance", {"params": {"simulate_ms": 330}})
FAILED: Final[Request] = ("POST", "/api/payments", {"json": _DECLINED})
CONVERSATION: Final[tuple[Request, ...]] = (
    ("GET", "/api/customers/1/profile", {}),
    SLOW_REQUEST,
    ("GET", "/api/accounts/1/statement", {"params": {"simulate_ms": 230}}),
    ("GET", "/api/accounts/1/budgets", {}),
    ("GET", "/api/accounts/999", {}),
    ("GET", f"/api/cards/{SECRETS['card in a path']}", {}),
    (
        "GET",
        "/api/cards/search",
        {"params": _SEARCH, "headers": {"x-api-key": SECRETS["API key in a header"]}},
    ),
    ("POST", "/api/auth/login", {"json": _LOGIN}),
    ("GET", "/api/auth/session", {"params": {"token": SECRETS["token in a query"]}}),
    ("POST", "/api/payments", {"json": _PAID}),
    ("POST", "/api/accounts", {"json": _TAKEN}),
    FAILED,
)
SLOW_AND_FAILED: Final = (SLOW_REQUEST,) * 4 + (FAILED,) * 16
"""Slow and failed requests. The probability that a rate of 0.1 keeps all of them by chance is 1e-20."""


@dataclass
class Seen:
    """Received data: from all requests, and from slow and failed ones at a sampling rate of 0.1."""

    all: Receiver
    tenth: Receiver

    def one(self, name: str) -> dict[str, Any]:
        """Return the last transaction with that name."""
        return named(self.all, name)[-1]

    def close(self) -> None:
        self.all.close()
        self.tenth.close()


def through_sentry_sdk(folder: Path) -> Seen:
    """Run the example with sentry-sdk's own tracing."""
    app = folder / "with-sentry-sdk"
    shutil.copytree(_EXAMPLE, app, ignore=shutil.ignore_patterns("__pycache__", "*.db*"))
    (app / "app.py").rename(app / "bank.py")
    (app / "app.py").write_text(_WITH_SENTRY_SDK, "utf-8")
    return Seen(
        _run(app, CONVERSATION, folder / "1.db", {"RATE": "1"}, instrument=False),
        _run(app, SLOW_AND_FAILED, folder / "2.db", {"RATE": "0.1"}, instrument=False),
    )


def through_us(folder: Path) -> Seen:
    """Run the example with mita-otel, as its README describes."""
    tenth = {"MITA_OTEL_SAMPLING__MODE": "tail", "MITA_OTEL_SAMPLING__RATIO": "0.1"}
    return Seen(
        _run(_EXAMPLE, CONVERSATION, folder / "3.db", {}),
        _run(_EXAMPLE, SLOW_AND_FAILED, folder / "4.db", tenth),
    )


def _run(
    app: Path, asked: Iterable[Request], database: Path, env: dict[str, str], *, instrument: bool = True
) -> Receiver:
    receiver = Receiver()
    settings = {
        "SENTRY_DSN": receiver.dsn,
        "SENTRY_RELEASE": "payments@1.0.0",
        "SENTRY_ENVIRONMENT": "production",
        "DATABASE_URL": f"sqlite:///{database}",
        **env,
    }
    service = Service(app, settings, instrument=instrument)
    try:
        for method, path, options in asked:
            service.client.request(method, path, **options)
        # Ctrl-C: sentry-sdk sends waiting data only at interpreter exit, which uvicorn skips after SIGTERM.
        service.stop("CTRL_C")
    finally:
        service.kill()
    return receiver


# -- the rows -------------------------------------------------------------------------------------------
BALANCE, STATEMENT = (f"GET /api/accounts/{{account_id}}/{part}" for part in ("balance", "statement"))


def _name(seen: Seen, path: str) -> str:
    """Return the name of a route's transaction: sentry-sdk has the method only in the request's data."""
    return next(
        (one["transaction"] for one in seen.all.transactions if one["transaction"].endswith(path)), "none"
    )


def _of(seen: Seen, name: str) -> dict[str, Any]:
    return seen.one(_name(seen, name.partition(" ")[2]))


def _requests(seen: Seen) -> str:
    return f"{len(requests(seen.all))} of {len(CONVERSATION)}"


def _statements(seen: Seen) -> str:
    """A background task may end after its request's transaction; then it is in the same trace."""
    traces = {trace_of(one)["trace_id"] for one in requests(seen.all)}
    theirs = [one for one in seen.all.transactions if trace_of(one)["trace_id"] in traces]
    roots = sum(trace_of(one)["op"].startswith("db") for one in theirs)
    return str(roots + sum(len(database_spans(one)) for one in theirs))


def _limit(seen: Seen) -> str:
    measured = _of(seen, BALANCE).get("measurements", {})
    return f"{measured['latency.limit']['value']:g} ms, with the overrun" if measured else "no"


def _marked(name: str) -> Callable[[Seen], str]:
    def marked(seen: Seen) -> str:
        tags = _of(seen, name).get("tags") or {}
        found = tags.get("performance_issue") == "true"
        return f"`performance_issue`, `{tags['latency_rule']}`" if found else "no"

    return marked


def _errors(seen: Seen) -> str:
    return f"{len(seen.all.events)} of 2"


def _linked(seen: Seen) -> str:
    traces = {trace_of(one)["trace_id"] for one in requests(seen.all)}
    linked = sum(trace_of(one)["trace_id"] in traces for one in seen.all.events)
    return "all" if linked == len(seen.all.events) else f"{linked} of {len(seen.all.events)}"


def _variables(seen: Seen) -> str:
    frames = [
        frame
        for event in seen.all.events
        for exception in event["exception"]["values"]
        for frame in exception["stacktrace"]["frames"]
        if frame.get("vars")
    ]
    if not frames:
        return "no"
    leaks = canaries.leaks(str([frame["vars"] for frame in frames]).encode(), SECRETS)
    return "yes, with secrets" if leaks else "yes, redacted"


def _leaked(seen: Seen) -> str:
    found = canaries.leaks(seen.all.raw, SECRETS)
    names = [name for name in SECRETS if any(name in one for one in map(str, found))]
    return f"{len(names)} of {len(SECRETS)}: " + ", ".join(names) if names else f"0 of {len(SECRETS)}"


def _code(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in sorted(names)) or "none"


def _tags(seen: Seen) -> str:
    return _code({name for one in requests(seen.all) for name in one.get("tags") or {}})


def _contexts(seen: Seen) -> str:
    return _code({name for one in requests(seen.all) for name in one["contexts"]})


def _measurements(seen: Seen) -> str:
    return _code({name for one in requests(seen.all) for name in one.get("measurements") or {}})


def _crumbs(seen: Seen) -> str:
    return _code(
        {
            str(crumb.get("category")).partition(".")[0]
            for event in seen.all.events
            for crumb in (event.get("breadcrumbs") or {}).get("values", [])
        }
    )


def _statement_data(seen: Seen) -> str:
    names = {name for span in database_spans(_of(seen, STATEMENT)) for name in span["data"]}
    return _code(name for name in names if re.match(r"(db|server)\.", name))


def _sessions(seen: Seen) -> str:
    ended: dict[str, int] = {}
    for item in seen.all.items("sessions"):
        for one in item["aggregates"]:
            for how in ("exited", "errored", "crashed"):
                ended[how] = ended.get(how, 0) + one.get(how, 0)
    return ", ".join(f"{count} {how}" for how, count in ended.items() if count) or "no"


def _kept(seen: Seen) -> str:
    kept = len(requests(seen.tenth))
    return "all" if kept == len(SLOW_AND_FAILED) else "a random part"


ROWS: Final[tuple[tuple[str, Callable[[Seen], str]], ...]] = (
    ("Requests reported as transactions", _requests),
    ("Transaction name", lambda seen: f"`{_name(seen, '/{account_id}/balance')}`"),
    ("SQL statements in their traces", _statements),
    ("Attributes of a statement", _statement_data),
    ("Limit of a balance request that took 330 ms", _limit),
    ("That request is marked as a breach", _marked(BALANCE)),
    ("A 230 ms statement in a request within its limit is marked", _marked(STATEMENT)),
    ("Unhandled errors with exactly one issue", _errors),
    ("Issues linked to their transaction", _linked),
    ("Local variables in stack traces", _variables),
    ("Breadcrumbs of an issue", _crumbs),
    ("Secrets that left the process", _leaked),
    ("Tags of transactions", _tags),
    ("Contexts", _contexts),
    ("Measurements", _measurements),
    ("Release health", _sessions),
    ("Slow and failed requests kept at a sampling rate of 0.1", _kept),
)


def table(theirs: Seen, ours: Seen) -> str:
    """Return the table, in Markdown."""
    lines = ["| | sentry-sdk | mita-otel |", "|---|---|---|"]
    lines += [f"| {title} | {row(theirs)} | {row(ours)} |" for title, row in ROWS]
    return "\n".join(lines)


def on_the_page(page: str) -> str:
    """Return the table in the documentation."""
    return page.partition(_BEGIN)[2].partition(_END)[0].strip()


def measured(folder: Path) -> str:
    """Run both, and return the table."""
    theirs = through_sentry_sdk(folder)
    try:
        ours = through_us(folder)
        try:
            return table(theirs, ours)
        finally:
            ours.close()
    finally:
        theirs.close()


def main(arguments: list[str]) -> None:
    """Print the table; with `--write`, put it into the documentation."""
    with tempfile.TemporaryDirectory(prefix="mita-otel-side-by-side-") as folder:
        found = measured(Path(folder))
    sys.stdout.write(found + "\n")
    if "--write" in arguments:
        page = PAGE.read_text("utf-8")
        head, _, rest = page.partition(_BEGIN)
        PAGE.write_text(f"{head}{_BEGIN}\n{found}\n{_END}{rest.partition(_END)[2]}", "utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
