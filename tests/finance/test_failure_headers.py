"""The response to an unhandled exception contains the request id."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route

from mita_otel.finance.middleware import FinancialSentryMiddleware
from mita_otel.sdk.configuration import configure


@pytest.fixture
def telemetry(isolated_telemetry: None) -> Iterator[None]:
    telemetry = configure(exporters=["memory"])
    yield
    telemetry.shutdown(0)


async def crash(request: Request) -> JSONResponse:
    raise RuntimeError("no")


async def own(request: Request, error: Exception) -> JSONResponse:
    headers = {"X-Request-ID": "own"} if "own" in request.url.path else {}
    return JSONResponse({"error": "sorry"}, 500, headers)


def applications() -> dict[str, Any]:
    def bare(**options: Any) -> Starlette:
        app = Starlette(
            routes=[Route("/crash", crash), Route("/own", crash), Route("/fine", own_fine)], **options
        )
        app.add_middleware(FinancialSentryMiddleware)
        return app

    api = FastAPI()
    api.add_route("/crash", crash)
    handled = FastAPI(exception_handlers={500: own})
    handled.add_route("/crash", crash)
    handled.add_route("/own", crash)
    return {
        "starlette": bare(),
        "debug": bare(debug=True),
        "mounted": Starlette(routes=[Mount("/", app=bare())]),
        "fastapi": api,
        "own handler": handled,
    }


async def own_fine(request: Request) -> JSONResponse:
    return JSONResponse({})


async def get(app: Any, path: str) -> httpx.Response:
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://bank") as client:
        return await client.get(path, headers={"x-request-id": "req-1"})


@pytest.mark.parametrize("kind", ["starlette", "debug", "mounted", "fastapi", "own handler"])
async def test_the_response_to_a_crash_has_the_request_id(telemetry: None, kind: str) -> None:
    answer = await get(applications()[kind], "/crash")
    assert (answer.status_code, answer.headers.get_list("x-request-id")) == (500, ["req-1"])


async def test_a_request_id_set_by_the_application_is_kept(telemetry: None) -> None:
    answer = await get(applications()["own handler"], "/own")
    assert answer.headers.get_list("x-request-id") == ["own"]


async def test_other_responses_have_one_request_id(telemetry: None) -> None:
    answer = await get(applications()["starlette"], "/fine")
    assert (answer.status_code, answer.headers.get_list("x-request-id")) == (200, ["req-1"])
