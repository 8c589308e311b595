"""Malformed requests get the right response within bounded memory; no secret is stored or sent."""

from __future__ import annotations

import gzip
import tracemalloc
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from exploring import examples
from leaks import shows
from mita_otel.mobile import MobileApp, MobileGateway
from mita_otel.mobile.engine import Engine
from mita_otel.mobile.preparation import Intake
from mita_otel.mobile.reply import Reply
from mita_otel.redaction import Redactor
from mobile.kit import AUTH, PROJECT, intake, policy_with, recorded
from mobile.malformed import MALFORMED, Malformed

UNREACHABLE = "http://fedcbafedcbafedc@127.0.0.1:9/1"


class Listening(MobileApp):
    """The application, and the replies that its gateway counted."""

    def __init__(self, folder: Path) -> None:
        super().__init__(MobileGateway(policy_with(folder / "spool", upstream=UNREACHABLE), env={}))
        self.folder = folder / "spool"
        self.replies: list[Reply] = []
        self.gateway.metrics.count_reply = self.replies.append  # type: ignore[method-assign,assignment]

    @property
    def kept(self) -> bytes:
        """The content of the spool."""
        return b"".join(path.read_bytes() for path in self.folder.rglob("*") if path.is_file())


@pytest.fixture
async def app(tmp_path: Path) -> AsyncIterator[Listening]:
    one = Listening(tmp_path)
    yield one
    one.gateway.close(0)


def client_of(app: MobileApp) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway", timeout=60)


def test_more_than_a_hundred_malformed_requests_have_unique_names() -> None:
    names = [one.name for one in MALFORMED]
    assert len(set(names)) == len(names) > 100


@pytest.mark.parametrize("case", MALFORMED, ids=lambda case: case.name)
async def test_a_malformed_request_gets_the_right_answer(app: Listening, case: Malformed) -> None:
    async with client_of(app) as client:
        answer = await client.post(case.path, content=case.body, headers=case.all_headers)
        assert (answer.status_code, [reply.reason for reply in app.replies]) == (case.status, [case.reason])
        forwarded = sum(count for (_, what), count in app.replies[0].outcomes.items() if what == "forwarded")
        assert forwarded == case.forwarded
        assert not shows(answer.content + str(answer.headers).encode())
        assert not shows(app.kept)
        if case.status >= 400:
            assert answer.json()["detail"] == answer.headers["x-sentry-error"]
        again = await client.post(
            f"/api/{PROJECT}/envelope/", content=recorded("payment_error"), headers=AUTH
        )
        assert again.status_code == 200


@pytest.mark.parametrize(
    "case", [one for one in MALFORMED if len(one.body) > 10_000], ids=lambda case: case.name
)
def test_memory_is_bounded_by_the_allowed_decompressed_size(tmp_path: Path, case: Malformed) -> None:
    engine = Engine(policy_with(tmp_path / "spool", upstream=UNREACHABLE), Redactor(), {})
    tracemalloc.start()
    try:
        engine.take(Intake("app", case.body, case.headers.get("content-encoding", "")))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    engine.stop(0)
    assert peak < 110_000_000


@given(st.data())
@settings(max_examples=examples(150), suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_recorded_envelope_with_changed_bytes_is_answered(tmp_path: Path, data: st.DataObject) -> None:
    engine = Engine(policy_with(tmp_path / "spool", upstream=UNREACHABLE), Redactor(), {})
    body = bytearray(
        recorded(data.draw(st.sampled_from(["payment_error", "native_crash", "streamed_spans"])))
    )
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    packed = data.draw(st.booleans())
    reply = engine.take(
        intake(gzip.compress(bytes(body)) if packed else bytes(body), "gzip" if packed else "")
    )
    engine.stop(0)
    assert reply.status in {200, 400, 413}
    assert reply.reason != "failed"
