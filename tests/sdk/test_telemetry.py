"""No method of the handle raises into the application, for any argument."""

from __future__ import annotations

import logging
from typing import Any

import fastapi
import pytest
import sqlalchemy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.ext.asyncio import create_async_engine

from exploring import examples
from mita_otel import configure
from mita_otel.policy import default_policy
from mita_otel.processors.queues.stage import Stage
from mita_otel.sdk.telemetry import Telemetry


class Hostile:
    """An object that raises on every access."""

    @property  # type: ignore[misc]  # hostile on purpose
    def __class__(self) -> type:  # type: ignore[override]
        raise RuntimeError("class")

    def _fail(self, *_: object) -> Any:
        raise RuntimeError("hostile")

    __getattr__ = __eq__ = __lt__ = __float__ = __int__ = __bool__ = __len__ = __iter__ = __repr__ = (
        __str__
    ) = _fail  # type: ignore[assignment]
    __hash__ = None  # type: ignore[assignment]


class BrokenStage(Stage):
    """A stage that raises in every method."""

    def _fail(self, *_: object) -> Any:
        raise RuntimeError("broken")

    start = flush = flush_async = drain = abandon = close = _fail  # type: ignore[assignment]


@pytest.fixture
def telemetry(isolated_telemetry: None) -> Telemetry:
    return configure(policy=default_policy("development"), exporters=["memory"])


ODD = {
    "object": object(),
    "hostile": Hostile(),
    "hostile class": Hostile,
    "type": type,
    "function": len,
    "huge": 10**400,
    "infinite": float("inf"),
    "negative": -1,
    "module": fastapi,
    "broken stage": BrokenStage(),
}
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(),
    st.binary(),
    st.lists(st.one_of(st.integers(), st.text())),
    st.dictionaries(st.text(), st.integers()),
)
METHODS = {
    "flush": lambda telemetry, value: telemetry.flush(value),
    "drain": lambda telemetry, value: telemetry.drain(value),
    "keep": lambda telemetry, value: telemetry.keep(value),
    "instrument app": lambda telemetry, value: telemetry.instrument(app=value),
    "instrument engine": lambda telemetry, value: telemetry.instrument(engine=value),
    "instrument engines": lambda telemetry, value: telemetry.instrument(engine=[value, value]),
    "start": lambda telemetry, value: telemetry.start(),
    "losses": lambda telemetry, value: telemetry.losses(),
}


@settings(max_examples=examples(300), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_no_method_raises(telemetry: Telemetry, data: st.DataObject) -> None:
    method = data.draw(st.sampled_from(sorted(METHODS)))
    name = data.draw(st.sampled_from(["", *sorted(ODD)]))
    METHODS[method](telemetry, ODD[name] if name else data.draw(VALUES))


@pytest.mark.parametrize("name", [*ODD, "text"])
def test_shutdown_ends_telemetry_with_any_timeout(telemetry: Telemetry, name: str) -> None:
    value: Any = ODD.get(name, name)
    telemetry.keep(BrokenStage())
    telemetry.shutdown(value)
    assert telemetry.ended
    assert telemetry.shutdown(value) is True


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ({"app": object()}, "instrument(): app has to be a fastapi.FastAPI, and is a object"),
        ({"app": fastapi}, "instrument(): app has to be a fastapi.FastAPI, and is a module"),
        (
            {"engine": 5},
            "instrument(): engine has to be a sqlalchemy.Engine, an AsyncEngine or a list of them, and is a int",
        ),
        (
            {"engine": ["sqlite://"]},
            "instrument(): engine has to be a sqlalchemy.Engine, an AsyncEngine or a list of them, and is a str",
        ),
    ],
)
def test_an_unsupported_argument_of_instrument_is_logged_in_one_line(
    telemetry: Telemetry, caplog: pytest.LogCaptureFixture, arguments: dict[str, Any], line: str
) -> None:
    with caplog.at_level(logging.WARNING):
        telemetry.instrument(**arguments)
    assert [record.getMessage() for record in caplog.records] == [line]


def test_applications_and_engines_of_each_type_are_measured(
    telemetry: Telemetry, caplog: pytest.LogCaptureFixture
) -> None:
    sync, other = sqlalchemy.create_engine("sqlite://"), create_async_engine("sqlite+aiosqlite://")
    telemetry.instrument(app=fastapi.FastAPI())
    for engines in (sync, other, [sync, other], (sync,), {sync}):
        telemetry.instrument(engine=engines)
    assert caplog.records == []
    sync.dispose()
