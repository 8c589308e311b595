"""A runtime with in-memory telemetry, and an empty context for each test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from opentelemetry import context
from opentelemetry.context import Context

from finance.recording import Clock, Recording
from mita_otel.finance import runtime
from mita_otel.policy import default_policy
from mita_otel.policy.conversion import convert
from mita_otel.policy.finance import FinancePolicy

Record = Callable[..., Recording]


def policy_with(**changes: Any) -> FinancePolicy:
    """The default policy with some tables changed: `security={"issue_from": "low"}`."""
    document = default_policy().finance.to_dict()

    def merge(into: dict[str, Any], new: dict[str, Any]) -> None:
        for key, value in new.items():
            if isinstance(value, dict) and isinstance(into.get(key), dict):
                merge(into[key], value)
            else:
                into[key] = value

    merge(document, changes)
    return convert(FinancePolicy, document)


@pytest.fixture(autouse=True)
def _fresh_context() -> Iterator[None]:
    token = context.attach(Context())
    yield
    context.detach(token)


@pytest.fixture
def record(monkeypatch: pytest.MonkeyPatch) -> Record:
    """Start a recording with the default policy and some changes."""

    def start(**changes: Any) -> Recording:
        recording = Recording(policy_with(**changes), Clock())
        monkeypatch.setattr(runtime, "_running", recording.runtime)
        return recording

    return start


@pytest.fixture
def recording(record: Record) -> Recording:
    return record()
