"""`mita_otel.configure()` in code, with a separate process for each case."""

from __future__ import annotations

from pathlib import Path

import pytest

from e2e.receiver import Receiver
from e2e.script import run_script
from e2e.transactions import database_spans, requests

pytestmark = pytest.mark.e2e

_APP = """
def make_app(engine=None, async_engine=None):
    from fastapi import FastAPI
    from sqlalchemy import text
    app = FastAPI()
    @app.get("/sync/{number}")
    def sync_route(number: int):
        with engine.connect() as connection:
            connection.execute(text("SELECT 1"))
        return number
    @app.get("/async/{number}")
    async def async_route(number: int):
        async with async_engine.connect() as connection:
            await connection.execute(text("SELECT 2"))
        return number
    return app
def ask(app, *paths):
    from starlette.testclient import TestClient
    with TestClient(app) as client:
        for path in paths:
            client.get(path).raise_for_status()
def shapes(spans):
    roots = {span.context.span_id: span.name for span in spans if span.kind.name == "SERVER"}
    return sorted([span.name, roots.get(span.parent.span_id) if span.parent else None] for span in spans)
"""

_EXPECTED = [
    ["GET /async/{number}", None],
    ["GET /sync/{number}", None],
    ["SELECT", "GET /async/{number}"],
    ["SELECT", "GET /sync/{number}"],
]

_EARLY = """
from sqlalchemy import create_engine
from sqlalchemy.ext.asyncio import create_async_engine
engine, async_engine = create_engine("sqlite://"), create_async_engine("sqlite+aiosqlite://")
"""

_ORDERS = {
    "before the application is made": """
        import mita_otel
        telemetry = mita_otel.configure(exporters=["memory"])
        {early}
        app = make_app(engine, async_engine)
    """,
    "before, with names imported earlier": """
        from fastapi import FastAPI
        {early}
        import mita_otel
        telemetry = mita_otel.configure(exporters=["memory"])
        app = make_app(engine, async_engine)
    """,
    "after the application is made": """
        {early}
        app = make_app(engine, async_engine)
        import mita_otel
        telemetry = mita_otel.configure(exporters=["memory"])
        telemetry.instrument(app=app, engine=[engine, async_engine])
    """,
}


@pytest.mark.parametrize("source", ["native", "contrib"])
@pytest.mark.parametrize("order", _ORDERS.values(), ids=_ORDERS.keys())
def test_configure_works_before_and_after_creating_application_and_engines(
    tmp_path: Path, order: str, source: str
) -> None:
    ran = run_script(
        _APP
        + "\n".join(line.strip() for line in order.format(early=_EARLY).splitlines())
        + """
ask(app, "/sync/1", "/async/2")
telemetry.flush()
spans = [s for s in telemetry.exporters["memory"].spans if s.name.startswith(("GET", "SELECT"))]
answer(shapes(spans))
""",
        tmp_path,
        {"MITA_OTEL_INSTRUMENTATION__FASTAPI": source},
    )
    found = [
        [name.replace(" :memory:", ""), parent and parent.replace(" :memory:", "")]
        for name, parent in ran.answer
    ]
    assert found == _EXPECTED


def test_a_second_call_with_equal_settings_returns_the_same_handle(tmp_path: Path) -> None:
    ran = run_script(
        """
        import mita_otel
        first = mita_otel.configure(exporters=["memory"], environment="staging")
        second = mita_otel.configure(exporters=["memory"], environment="staging")
        third = mita_otel.configure(exporters=["memory"], environment="staging", strict=True)
        answer([first is second, first is third])
        """,
        tmp_path,
    )
    assert ran.answer == [True, True]
    assert ran.log("WARNING") == []


def test_a_second_call_with_other_settings_warns_once_and_keeps_the_first(tmp_path: Path) -> None:
    ran = run_script(
        """
        import mita_otel
        first = mita_otel.configure(exporters=["memory"], environment="staging")
        same = [mita_otel.configure(exporters=["memory"], environment="development") is first for _ in range(3)]
        answer([same, first.environment])
        """,
        tmp_path,
    )
    assert ran.answer == [[True, True, True], "staging"]
    [line] = ran.log("WARNING")
    assert "environment" in line


def test_a_call_after_shutdown_starts_telemetry_again(tmp_path: Path) -> None:
    ran = run_script(
        """
        import mita_otel
        from opentelemetry import trace
        first = mita_otel.configure(exporters=["memory"], environment="staging")
        tracer = trace.get_tracer("kept by the application")
        first.shutdown()
        second = mita_otel.configure(exporters=["memory"], environment="development", strict=True)
        with tracer.start_as_current_span("job"):
            pass
        second.flush()
        answer([second is first, second.environment, [span.name for span in second.exporters["memory"].spans]])
        """,
        tmp_path,
    )
    assert ran.answer == [False, "development", ["job"]]
    assert ran.log("WARNING") == []


@pytest.mark.parametrize("arguments", ["environment=5", 'policy={"a": 1}', "exporters=7"])
def test_an_argument_of_a_wrong_type_does_not_prevent_the_start(tmp_path: Path, arguments: str) -> None:
    ran = run_script(
        f"""
        import mita_otel
        telemetry = mita_otel.configure({arguments})
        answer([sorted(telemetry.exporters), telemetry.environment])
        """,
        tmp_path,
        {"OTEL_TRACES_EXPORTER": "memory", "ENVIRONMENT": "staging"},
    )
    assert ran.answer == [["memory"], "staging"]
    assert len(ran.log("could not use its arguments")) == 1


def test_a_second_call_with_other_settings_raises_if_strict(tmp_path: Path) -> None:
    ran = run_script(
        """
        import mita_otel
        mita_otel.configure(exporters=["memory"])
        try:
            mita_otel.configure(exporters=["none"], strict=True)
        except mita_otel.ConfigurationError as error:
            answer(str(error))
        """,
        tmp_path,
    )
    assert "exporters" in ran.answer


STRICT = {
    "unknown exporter": ('exporters=["sentri"]', {}, "did you mean 'sentry'"),
    "malformed DSN": ("", {"SENTRY_DSN": "nonsense"}, "SENTRY_DSN"),
    "missing policy file": ('policy="nowhere.toml"', {}, "nowhere.toml"),
    "bad policy": ('policy="bad.toml"', {}, "bad.toml"),
    "absent finder": ('policy="finder.toml"', {}, "'absent'"),
}


@pytest.mark.parametrize(("arguments", "env", "hint"), STRICT.values(), ids=STRICT.keys())
def test_strict_raises_problems_that_are_otherwise_logged(
    tmp_path: Path, arguments: str, env: dict[str, str], hint: str
) -> None:
    (tmp_path / "bad.toml").write_text("[thresholds.api.methods]\nGET = -1\n")
    (tmp_path / "finder.toml").write_text("[redaction.custom.member]\nfinder = 'absent'\n")
    code = f"""
        import mita_otel
        try:
            mita_otel.configure({arguments}{", " if arguments else ""}strict=STRICT)
        except mita_otel.ConfigurationError as error:
            answer(str(error))
        else:
            answer("no error")
        """
    strict = run_script(code.replace("STRICT", "True"), tmp_path, env)
    assert hint in strict.answer
    lenient = run_script(code.replace("STRICT", "False"), tmp_path, env)
    assert lenient.answer == "no error"
    assert len([line for line in lenient.stderr.splitlines() if hint in line]) == 1, lenient.stderr
    assert "Traceback" not in lenient.stderr


def test_the_handle_flushes_and_can_be_shut_down_twice(receiver: Receiver, tmp_path: Path) -> None:
    ran = run_script(
        """
        import mita_otel
        from opentelemetry import trace
        telemetry = mita_otel.configure(service_name="batch")
        with trace.get_tracer("test").start_as_current_span("job"):
            pass
        flushed = telemetry.flush()
        telemetry.shutdown(); telemetry.shutdown()
        with trace.get_tracer("test").start_as_current_span("too late"):
            pass
        answer([flushed, telemetry.flush()])
        """,
        tmp_path,
        {"SENTRY_DSN": receiver.dsn},
    )
    assert ran.answer == [True, True]
    receiver.wait_for(lambda r: r.transactions)
    assert [one["transaction"] for one in receiver.transactions] == ["job"]
    assert receiver.transactions[0]["tags"]["component"] == "batch"


def test_a_program_that_ends_without_shutdown_loses_no_span(receiver: Receiver, tmp_path: Path) -> None:
    run_script(
        """
        import mita_otel
        from opentelemetry import trace
        mita_otel.configure()
        for _ in range(25):
            with trace.get_tracer("test").start_as_current_span("job"):
                pass
        """,
        tmp_path,
        {"SENTRY_DSN": receiver.dsn},
    )
    receiver.wait_for(lambda r: len(r.transactions) >= 25)


def test_ctrl_c_is_not_an_issue(receiver: Receiver, tmp_path: Path) -> None:
    run_script(
        """
        import sys
        import mita_otel
        telemetry = mita_otel.configure()
        for error in (KeyboardInterrupt(), ValueError("an error")):
            try:
                raise error
            except BaseException:
                sys.excepthook(*sys.exc_info())
        telemetry.shutdown()
        """,
        tmp_path,
        {"SENTRY_DSN": receiver.dsn},
    )
    receiver.wait_for(lambda r: r.events)
    assert [one["exception"]["values"][-1]["type"] for one in receiver.events] == ["ValueError"]


def test_children_of_multiprocessing_lose_no_span(receiver: Receiver, tmp_path: Path) -> None:
    (tmp_path / "jobs.py").write_text(
        "from opentelemetry import trace\n"
        "def job(number):\n"
        "    with trace.get_tracer('test').start_as_current_span('job'):\n"
        "        return number\n"
        "def end():\n"
        "    import sys\n"
        "    with trace.get_tracer('test').start_as_current_span('job'):\n"
        "        pass\n"
        "    sys.exit(0)\n"
    )
    run_script(
        """
        import multiprocessing, sys, warnings
        warnings.simplefilter("ignore")
        sys.path.insert(0, ".")
        import mita_otel, jobs
        from opentelemetry import trace
        mita_otel.configure()
        with trace.get_tracer("test").start_as_current_span("parent"):
            pass
        children = [multiprocessing.get_context("fork").Process(target=jobs.end) for _ in range(3)]
        for child in children:
            child.start()
        for child in children:
            child.join()
        """,
        tmp_path,
        {"SENTRY_DSN": receiver.dsn},
    )
    receiver.wait_for(lambda r: len(r.transactions) >= 4)
    assert sorted(one["transaction"] for one in receiver.transactions) == ["job", "job", "job", "parent"]


def test_engines_created_by_any_import_style_have_one_span_per_statement(
    receiver: Receiver, tmp_path: Path
) -> None:
    run_script(
        _APP
        + _EARLY
        + """
import mita_otel
telemetry = mita_otel.configure()
telemetry.instrument(engine=engine); telemetry.instrument(engine=async_engine)
telemetry.instrument(engine=[engine, async_engine])
app = make_app(engine, async_engine)
telemetry.instrument(app=app); telemetry.instrument(app=app)
ask(app, "/sync/1", "/async/2")
telemetry.shutdown()
""",
        tmp_path,
        {"SENTRY_DSN": receiver.dsn},
    )
    receiver.wait_for(lambda r: len(requests(r)) >= 2)
    assert [len(database_spans(one)) for one in requests(receiver)] == [1, 1]
