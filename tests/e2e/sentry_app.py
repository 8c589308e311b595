"""A service that calls sentry-sdk itself, like most users of Sentry; tests copy it to `app.py`."""

from __future__ import annotations

import logging
import os
from typing import Any

import httpx
import sentry_sdk
from fastapi import BackgroundTasks, FastAPI, Request

if os.environ.get("HOST_DSN"):
    sentry_sdk.init(
        dsn=os.environ["HOST_DSN"],
        traces_sample_rate=1.0,
        release="host@1.0",
        send_default_pii=True,
        before_send=lambda event, hint: {**event, "tags": {**event.get("tags", {}), "host": "was here"}},
    )

if os.environ.get("CONFIGURE"):
    import mita_otel

    mita_otel.configure()

logger = logging.getLogger("shop")
app = FastAPI()
SHARED = RuntimeError("the ledger is closed")
"""One exception object for all requests, as in careless services."""


def say(name: str) -> None:
    sentry_sdk.set_user({"id": name, "email": f"{name}@example.com"})
    sentry_sdk.set_tag("tenant", f"of {name}")
    sentry_sdk.set_tags({"channel": "web"})
    sentry_sdk.set_context("basket", {"of": name, "password": "hunter2"})
    sentry_sdk.add_breadcrumb(message=f"{name} came in")


@app.get("/say/{name}")
async def say_in_a_task(name: str) -> dict[str, str]:
    say(name)
    return {}


@app.get("/say-in-a-thread/{name}")
def say_in_a_thread(name: str) -> dict[str, str]:
    say(name)
    return {}


@app.get("/say-and-fail/{name}")
def say_and_fail(name: str) -> None:
    say(name)
    raise ValueError(f"no basket of {name}")


@app.get("/fail-later/{name}")
async def fail_later(name: str, tasks: BackgroundTasks) -> dict[str, str]:
    say(name)
    tasks.add_task(fail, "later")
    return {}


def fail(how: str) -> None:
    raise ValueError(f"failed {how}")


@app.get("/fail")
async def fail_here() -> None:
    fail("here")


@app.get("/logged")
def logged() -> dict[str, str]:
    try:
        fail("with card 4111111111111111")
    except ValueError:
        logger.exception("could not")
    return {}


@app.get("/captured")
def captured() -> dict[str, str]:
    try:
        fail("and was captured")
    except ValueError as error:
        sentry_sdk.capture_exception(error)
    return {}


@app.get("/message")
def message() -> dict[str, str]:
    sentry_sdk.capture_message("card 4111111111111111 was refused")
    return {}


@app.get("/shared")
def shared() -> None:
    raise SHARED


@app.get("/other-signals")
def other_signals() -> dict[str, str]:
    secrets: dict[str, Any] = {"note": "card 4111111111111111", "password": "hunter2"}
    sentry_sdk.metrics.count("payments", 1, attributes=secrets)
    sentry_sdk.logger.warning("card 4111111111111111", attributes=secrets)
    with sentry_sdk.start_transaction(name="card 4111111111111111"), sentry_sdk.start_span(name="x"):
        pass
    return {}


@app.get("/call")
def call(url: str) -> Any:
    return httpx.get(url).json()


@app.get("/echo")
def echo(request: Request) -> list[tuple[str, str]]:
    return [(name.decode(), value.decode()) for name, value in request.headers.raw]
