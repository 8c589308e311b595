"""Routes and names determine operations; fingerprints; attribute values."""

from __future__ import annotations

import importlib
import json
import math
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from finance.conftest import policy_with
from mita_otel.finance.attribute_values import attribute_value
from mita_otel.finance.capture import fingerprint
from mita_otel.finance.categories import OperationTable
from mita_otel.policy import PolicyError, load_policy

TABLE = OperationTable(policy_with(routes={"POST /api/special/{id}": "loan_approval"}))
BOUNDS = policy_with().context


@pytest.mark.parametrize(
    ("method", "route", "operation"),
    [
        ("POST", "/transactions", "transaction_processing"),
        ("POST", "/api/v1/transactions/{id}/confirm", "transaction_processing"),
        ("GET", "/transactions", None),
        ("GET", "/api/payments/{id}", "payment_processing"),
        ("POST", "/api/accounts/{account_id}/transactions", "transaction_processing"),
        ("GET", "/api/accounts/{account_id}/transactions", "account_management"),
        ("POST", "/api/auth/login", "authentication"),
        ("GET", "/api/budgets", "budget_calculation"),
        ("POST", "/api/special/{id}", "loan_approval"),
        ("GET", "/api/special/{id}", None),
        ("GET", "/", None),
        ("GET", "", None),
        ("GET", "/transactional", None),
    ],
)
def test_the_most_specific_route_determines_the_operation(
    method: str, route: str, operation: str | None
) -> None:
    assert TABLE.of_route(method, route) == operation
    assert TABLE.of_path(method, route) == operation


def test_card_routes_are_matched_by_whole_segments() -> None:
    assert TABLE.handles_cards("/api/cards/{card_id}")
    assert not TABLE.handles_cards("/api/scorecards")


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        ("transactions", "write it as in 'POST transactions'"),
        ("post transactions", "write it as in 'POST transactions'"),
        ("POST a/b", "write it as in 'POST transactions'"),
    ],
)
def test_an_invalid_route_rule_is_refused_with_a_fix(tmp_path: Path, rule: str, says: str) -> None:
    file = tmp_path / "mita-otel.toml"
    file.write_text(f'[finance.routes]\n"{rule}" = "payment_processing"\n')
    with pytest.raises(PolicyError, match=says):
        load_policy(file)


@pytest.mark.parametrize("name", ["mita.amount", "user.email", "mita.user.risk_level"])
def test_the_policy_cannot_put_amounts_or_addresses_into_baggage(tmp_path: Path, name: str) -> None:
    file = tmp_path / "mita-otel.toml"
    file.write_text(f'[finance.baggage]\nsend = ["{name}"]\n')
    with pytest.raises(PolicyError, match=r"finance\.baggage\.send"):
        load_policy(file)


def gateway_down(message: str) -> None:
    raise ConnectionError(message)


def caught(message: str) -> Exception:
    try:
        gateway_down(message)
    except ConnectionError as error:
        return error
    raise AssertionError


def test_the_fingerprint_ignores_the_message() -> None:
    first, second = (fingerprint(caught(message), "payment_processing") for message in ("a 1", "b 2"))
    assert first == second == ["payment_processing", "ConnectionError", f"{__name__}.gateway_down"]


def test_the_fingerprint_uses_the_applications_frame() -> None:
    def parse() -> Any:
        return json.loads("{")

    with pytest.raises(json.JSONDecodeError) as raised:
        parse()
    category, kind, place = fingerprint(raised.value, "data_validation")
    assert (category, kind) == ("data_validation", "json.decoder.JSONDecodeError")
    assert place.endswith(".parse")


def test_the_fingerprint_of_an_unraised_exception_uses_the_capturing_frame() -> None:
    assert fingerprint(ValueError("x"), "c")[2].endswith(
        "test_the_fingerprint_of_an_unraised_exception_uses_the_capturing_frame"
    )


def test_the_fingerprint_skips_installed_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "site-packages"
    package.mkdir()
    (package / "gateway_client.py").write_text("def call():\n    raise ConnectionError('down')\n")
    monkeypatch.syspath_prepend(str(package))
    client = importlib.import_module("gateway_client")

    def charge() -> None:
        client.call()

    with pytest.raises(ConnectionError) as raised:
        charge()
    assert fingerprint(raised.value, "c")[2].endswith(".charge")
    sys.modules.pop("gateway_client")


def test_an_endless_recursion_has_a_fingerprint() -> None:
    def down() -> None:
        down()

    with pytest.raises(RecursionError) as raised:
        down()
    assert fingerprint(raised.value, "c")[2].endswith(".down")


class Model(BaseModel):
    name: str = "a"
    secret: int = 5


@dataclass
class Record:
    name: str
    inner: Any = None


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (Model(), {"name": "a", "secret": 5}),
        (Record("a", Record("b")), {"name": "a", "inner": {"name": "b", "inner": None}}),
        ({1: (1, 2), "s": {3}}, {"1": [1, 2], "s": [3]}),
        (2**70, str(2**70)),
        (object, "<type>"),
        (lambda: 1, "<function>"),
        (bytearray(b"abc"), "<3 bytes>"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_values_become_attribute_values(value: Any, shown: Any) -> None:
    assert attribute_value(value, BOUNDS) == shown


def test_a_value_that_contains_itself_is_truncated() -> None:
    loop: dict[str, Any] = {}
    loop["again"] = loop
    assert "<too deep>" in str(attribute_value(loop, BOUNDS))


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.floats()
    | st.text()
    | st.integers()
    | st.binary()
    | st.dates()
    | st.decimals(),
    lambda children: st.lists(children) | st.dictionaries(st.text() | st.integers(), children),
)


@given(JSON)
def test_any_value_becomes_json_serialisable(value: Any) -> None:
    shown = attribute_value(value, BOUNDS)
    json.dumps(shown, allow_nan=not _finite(shown))


def _finite(value: Any) -> bool:
    if isinstance(value, dict):
        return all(_finite(member) for member in value.values())
    if isinstance(value, list):
        return all(_finite(member) for member in value)
    return not isinstance(value, float) or math.isfinite(value)
