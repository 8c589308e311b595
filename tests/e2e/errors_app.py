"""A service whose endpoints each fail in a different way; tests copy it to `app.py`."""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import Any

from fastapi import BackgroundTasks, FastAPI, HTTPException
from fastapi.responses import StreamingResponse
from opentelemetry import trace

logger = logging.getLogger("shop")
tracer = trace.get_tracer("shop")
app = FastAPI()


class LedgerError(Exception):
    """The ledger does not balance."""


def work(what: str) -> None:
    secret_number = "4111 1111 1111 1111"  # a local variable that must not leave
    raise LedgerError(f"{what} failed for {secret_number}")


@app.get("/unhandled")
async def unhandled() -> None:
    logger.warning("about to fail")
    work("unhandled")


@app.post("/unhandled-with-body")
async def unhandled_with_body(body: dict[str, Any]) -> None:
    work("unhandled-with-body")


@app.get("/logged-and-raised")
def logged_and_raised() -> None:
    try:
        work("logged-and-raised")
    except LedgerError:
        logger.exception("could not do it")
        raise


@app.get("/recorded-and-raised")
def recorded_and_raised() -> None:
    with tracer.start_as_current_span("outer"), tracer.start_as_current_span("inner"):
        work("recorded-and-raised")


@app.get("/recorded-then-logged")
def recorded_then_logged() -> dict[str, str]:
    try:
        with tracer.start_as_current_span("inner"):
            work("recorded-then-logged")
    except LedgerError:
        logger.exception("handled")
    return {}


@app.get("/only-recorded")
def only_recorded() -> dict[str, str]:
    try:
        work("only-recorded")
    except LedgerError as error:
        trace.get_current_span().record_exception(error)
    return {}


@app.get("/only-logged")
def only_logged() -> dict[str, str]:
    logger.error("the queue of %s is full", "payments")
    return {}


@app.get("/chained")
def chained() -> None:
    try:
        with tracer.start_as_current_span("inner"):
            work("chained")
    except LedgerError as error:
        raise RuntimeError("payment refused") from error


@app.get("/group")
async def group() -> None:
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(asyncio.to_thread(work, "group one"))
        tasks.create_task(asyncio.to_thread(work, "group two"))


@app.get("/in-a-thread")
def in_a_thread() -> dict[str, str]:
    thread = threading.Thread(target=work, args=("in-a-thread",))
    thread.start()
    thread.join()
    return {}


@app.get("/in-the-background")
def in_the_background(tasks: BackgroundTasks) -> dict[str, str]:
    tasks.add_task(work, "in-the-background")
    return {}


@app.get("/while-streaming")
def while_streaming() -> StreamingResponse:
    def stream() -> Any:
        yield "first"
        work("while-streaming")

    return StreamingResponse(stream())


@app.get("/unavailable")
def unavailable() -> None:
    raise HTTPException(503, "the bank is closed")


@app.get("/not-found")
def not_found() -> None:
    raise HTTPException(404, "nothing here")


@app.get("/not-found-inside-a-span")
def not_found_inside_a_span() -> None:
    with tracer.start_as_current_span("inner"):
        raise HTTPException(404, "nothing here")


@app.get("/invalid/{number}")
def invalid(number: int) -> int:
    return number
