"""Reports from Sentry's API, tested with a local server that validates the requests."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import stamina

from mita_otel.errors import ConfigurationError
from mita_otel.reports.output import render_report
from mita_otel.reports.scope import ReportScope, last_days
from mita_otel.reports.sentry_source import report_from_sentry
from mita_otel.sentry.mapping.status import SERVER_FAILURES, status_of_http

NOW = datetime(2026, 11, 25, 9, 30, tzinfo=UTC)
SCOPE = ReportScope(last_days(7, NOW), environment="production")
DATASETS = {"errors", "logs", "profile_functions", "spans", "tracemetrics", "uptime_results"}
"""Datasets of Sentry's published API."""


@pytest.fixture(autouse=True)
def _no_pauses() -> Iterator[None]:
    stamina.set_testing(True, attempts=3, cap=True)
    yield
    stamina.set_testing(False)


Answer = Callable[[dict[str, list[str]]], tuple[int, dict[str, str], Any]]


class Server(http.server.BaseHTTPRequestHandler):
    answer: Answer
    asked: list[dict[str, list[str]]]

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        query = parse_qs(url.query)
        type(self).asked.append(query)
        status, headers, body = type(self).answer(query)
        if url.path != "/api/0/organizations/bank/events/":
            status, headers, body = 404, {}, {}
        elif self.headers["authorization"] != "Bearer token-1":
            status, headers, body = 401, {}, {}
        elif not query.get("field") or len(query["field"]) > 20 or query["dataset"][0] not in DATASETS:
            status, headers, body = 400, {}, {"detail": "Invalid Query"}
        elif int(query["per_page"][0]) > 100:
            status, headers, body = 400, {}, {"detail": "per_page"}
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body if isinstance(body, bytes) else json.dumps(body).encode())

    def log_message(self, *arguments: Any) -> None:
        pass


@pytest.fixture
def serve() -> Iterator[Callable[[Answer], tuple[dict[str, str], list[dict[str, list[str]]]]]]:
    servers: list[tuple[http.server.ThreadingHTTPServer, threading.Thread]] = []

    def start(answer: Answer) -> tuple[dict[str, str], list[dict[str, list[str]]]]:
        handler: Any = type("Handler", (Server,), {"answer": staticmethod(answer), "asked": []})
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        servers.append((server, thread))
        env = {"SENTRY_ORG": "bank", "SENTRY_AUTH_TOKEN": "token-1", "SENTRY_PROJECT_BACKEND": "backend",
               "SENTRY_URL": f"http://127.0.0.1:{server.server_port}/"}  # fmt: skip
        return env, handler.asked

    yield start
    for server, thread in servers:
        server.shutdown()
        thread.join()
        server.server_close()


def numbers(count: int, p95: float) -> dict[str, Any]:
    return {"count(span.duration)": count, "avg(span.duration)": 80.12345, "min(span.duration)": 1.0, "max(span.duration)": 900.0,
            "p50(span.duration)": 60.0, "p90(span.duration)": 200.0, "p95(span.duration)": p95, "p99(span.duration)": 800.0}  # fmt: skip


def like_sentry(query: dict[str, list[str]]) -> tuple[int, dict[str, str], Any]:
    fields = query["field"]
    assert "failure_rate()" not in fields, "it counts 401, 404 and 422"
    if "trace.status" in query.get("query", [""])[0]:
        rows = [
            {**row, "count(span.duration)": count}
            for row, count in [
                ({"transaction": "GET /api/balance", "span.op": "http.server"}, 7),
                ({"transaction": "settle", "span.op": "queue.process"}, 3),
            ]
        ]
        if "transaction" not in fields:
            rows = rows if "span.op" in fields else [{"count(span.duration)": 10}]
    elif query["dataset"] == ["errors"]:
        if "title" in fields:
            rows = [{"error_category": "payment_processing", "severity": "critical", "error.type": ["GatewayTimeout"], "title": "GatewayTimeout: no answer",
                     "count()": 7, "min(timestamp)": "2026-11-20T00:00:00+00:00", "max(timestamp)": "2026-11-24T10:00:00+00:00"}]  # fmt: skip
        else:
            rows = [
                {"error_category": "payment_processing", "severity": "critical", "count()": 7},
                {"error_category": "", "severity": None, "count()": 2},
            ]
    elif "latency_rule" in fields:
        rows = [
            {
                "latency_rule": "api.financial.GET",
                "latency_limit_ms": "300",
                "count(span.duration)": 12,
                "max(span.duration)": 912.5,
            }
        ]
    elif "transaction" in fields:
        rows = [
            {
                "transaction": "GET /api/balance",
                "span.op": "http.server",
                "sum(span.duration)": 1,
                **numbers(600, 250.0),
            }
        ]
    elif "span.op" in fields:
        rows = [
            {"span.op": "http.server", **numbers(900, 300.0)},
            {"span.op": "queue.process", **numbers(100, 400.0)},
        ]
    else:
        rows = [numbers(1000, 310.0)]
    return 200, {}, {"data": rows, "meta": {"fields": {}}}


def test_a_weekly_report_has_the_numbers_of_sentry(serve: Any) -> None:
    env, asked = serve(like_sentry)
    report = report_from_sentry("weekly", SCOPE, env=env, now=NOW)
    assert report.source == "sentry"
    assert report.performance is not None
    assert (
        report.performance.total.count,
        report.performance.total.errors,
        report.performance.total.p95_ms,
    ) == (1000, 10, 310.0)
    assert [(one.category, one.count, one.errors) for one in report.performance.categories] == [
        ("api", 900, 7),
        ("consumer", 100, 3),
    ]
    [operation] = report.performance.operations
    assert operation.errors == 7
    assert (operation.operation, operation.category, operation.mean_ms) == ("GET /api/balance", "api", 80.123)
    [breach] = report.performance.breaches
    assert (breach.rule, breach.limit_ms, breach.count, breach.worst_ms) == (
        "api.financial.GET",
        300.0,
        12,
        912.5,
    )
    assert report.errors is not None
    assert report.errors.total == 9
    assert [(one.category, one.severity) for one in report.errors.by_category] == [
        ("payment_processing", "critical"),
        ("system_error", "high"),
    ]
    assert report.errors.groups[0].name == "GatewayTimeout"
    for query in asked:
        assert query["project"] == ["backend"]
        assert query["environment"] == ["production"]
        assert (query["start"], query["end"]) == (["2026-11-18T10:00:00"], ["2026-11-25T10:00:00"])
    for form in ("json", "csv", "md", "html"):
        assert render_report(report, form)
    assert "extrapolates" in report.notes[0]


@pytest.mark.parametrize(
    "code", [*range(200, 209), *range(301, 309), *range(400, 452), 499, *range(500, 512)]
)
def test_the_failures_of_a_report_are_server_errors(code: int) -> None:
    assert (status_of_http(code) in SERVER_FAILURES) is (code >= 500)


def test_a_report_requests_only_server_errors_from_sentry(serve: Any) -> None:
    env, asked = serve(like_sentry)
    report_from_sentry("performance", SCOPE, env=env)
    queries = {query["query"][0] for query in asked if "trace.status" in query["query"][0]}
    assert queries == {
        "is_transaction:true trace.status:[data_loss,deadline_exceeded,internal_error,unavailable,unimplemented]"
    }


def test_all_pages_are_read(serve: Any) -> None:
    def paged(query: dict[str, list[str]]) -> tuple[int, dict[str, str], Any]:
        page = int(query.get("cursor", ["0:0"])[0].split(":")[1])
        more = "true" if page < 3 else "false"
        link = f'<http://x/>; rel="previous"; results="false"; cursor="0:0", <http://x/>; rel="next"; results="{more}"; cursor="0:{page + 1}"'
        return 200, {"Link": link}, {"data": [{"transaction": f"GET /{page}"}], "meta": {}}

    env, _ = serve(paged)
    report = report_from_sentry("performance", SCOPE, env=env)
    assert report.performance is not None
    assert [one.operation for one in report.performance.operations] == [
        "GET /0",
        "GET /1",
        "GET /2",
        "GET /3",
    ]


def test_requests_wait_for_the_end_of_a_rate_limit(serve: Any) -> None:
    state = {"refuse": 2}

    def limited(query: dict[str, list[str]]) -> tuple[int, dict[str, str], Any]:
        if state["refuse"]:
            state["refuse"] -= 1
            return 429, {"X-Sentry-Rate-Limit-Reset": "1007"}, {}
        return like_sentry(query)

    env, _ = serve(limited)
    report = report_from_sentry("performance", SCOPE, env=env)
    assert report.performance is not None
    assert report.performance.total.count == 1000


@pytest.mark.parametrize(
    ("status", "body", "message"),
    [
        (
            400,
            {"detail": "Invalid field: x"},
            r"answered 400 to GET organizations/bank/events/: Invalid field: x",
        ),
        (403, {}, r"it needs org:read"),
        (500, {}, r"answered 500"),
        (200, b"<html>", r"is not JSON"),
        (200, {"other": 1}, r"is not a list"),
    ],
)
def test_a_refusal_is_reported_in_one_message(serve: Any, status: int, body: Any, message: str) -> None:
    env, _ = serve(lambda query: (status, {}, body))
    with pytest.raises(ConfigurationError, match=message):
        report_from_sentry("performance", SCOPE, env=env)


def test_a_wrong_setting_is_reported_with_its_variable(serve: Any) -> None:
    env, _ = serve(like_sentry)
    with pytest.raises(ConfigurationError, match=r"check SENTRY_AUTH_TOKEN"):
        report_from_sentry("performance", SCOPE, env={**env, "SENTRY_AUTH_TOKEN": "other"})
    with pytest.raises(ConfigurationError, match=r"check SENTRY_ORG"):
        report_from_sentry("performance", SCOPE, env={**env, "SENTRY_ORG": "other"})
    with pytest.raises(ConfigurationError, match=r"SENTRY_AUTH_TOKEN is not set"):
        report_from_sentry("performance", SCOPE, env={})
    with pytest.raises(ConfigurationError, match=r"does not answer"):
        report_from_sentry("performance", SCOPE, env={**env, "SENTRY_URL": "http://127.0.0.1:1"})


@pytest.mark.parametrize("kind", ["compliance", "daily", "monthly", "quarterly"])
def test_reports_without_data_in_sentry_are_rejected(kind: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"needs the store: Sentry has no audit trail"):
        report_from_sentry(kind, SCOPE, env={})
