"""The guide's section "Performance Thresholds" in every detail; its tables are copied here."""

from __future__ import annotations

import re

import pytest

from mita_otel.policy import default_policy

API_ENDPOINTS = """
| Method | Default Threshold | Financial Endpoints |
|--------|------------------|---------------------|
| GET | 500ms | 300ms (balance, profile) |
| POST | 1000ms | 800ms (transactions) |
| PUT | 800ms | 1000ms (payments) |
| DELETE | 600ms | 500ms |
"""

DATABASE_OPERATIONS = """
| Operation | Threshold |
|-----------|-----------|
| SELECT | 200ms |
| INSERT | 300ms |
| UPDATE | 400ms |
| DELETE | 250ms |
"""

FINANCIAL_OPERATIONS = """
| Operation | Threshold |
|-----------|-----------|
| Transaction Processing | 1000ms |
| Budget Calculation | 1500ms |
| Financial Analysis | 3000ms |
| Payment Processing | 1200ms |
"""

BEST_PRACTICES = """
- Financial operations: < 1000ms
- User-facing APIs: < 500ms
- Background tasks: < 5000ms
"""


def rows(table: str) -> list[list[str]]:
    _, _, *lines = table.strip().split("\n")
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def milliseconds(cell: str) -> float:
    found = re.match(r"(\d+)ms", cell)
    assert found
    return float(found[1])


@pytest.mark.parametrize(("method", "default", "financial"), rows(API_ENDPOINTS))
def test_api_limits_are_those_of_the_guide(method: str, default: str, financial: str) -> None:
    api = default_policy("production").thresholds.api
    assert api.methods[method] == milliseconds(default)
    assert api.financial[method].limit_ms == milliseconds(financial)
    named = re.search(r"\((.*)\)", financial)
    if named:
        assert list(api.financial[method].segments) == named[1].split(", ")
    else:
        every = {segment for rule in api.financial.values() for segment in rule.segments}
        assert set(api.financial[method].segments) == every


def test_the_api_table_adds_patch_only() -> None:
    api = default_policy("production").thresholds.api
    of_the_guide = [method for method, *_ in rows(API_ENDPOINTS)]
    assert dict(api.methods) == {**{method: api.methods[method] for method in of_the_guide}, "PATCH": 700}
    assert list(api.financial) == of_the_guide
    assert (api.routes, api.fallback_ms) == ({}, 1000)


def test_database_limits_are_exactly_the_guides() -> None:
    expected = {operation: milliseconds(limit) for operation, limit in rows(DATABASE_OPERATIONS)}
    assert default_policy("production").thresholds.database == expected


def test_financial_limits_are_exactly_the_guides() -> None:
    expected = {
        operation.lower().replace(" ", "_"): milliseconds(limit)
        for operation, limit in rows(FINANCIAL_OPERATIONS)
    }
    assert default_policy("production").thresholds.financial == expected


def test_the_background_limit_is_the_guides() -> None:
    [limit] = re.findall(r"Background tasks: < (\d+)ms", BEST_PRACTICES)
    assert default_policy("production").thresholds.background.default_ms == float(limit)


def test_the_goals_of_the_guide_are_within_the_limits() -> None:
    """ "User-facing APIs: < 500ms" and "Financial operations: < 1000ms" are goals; the tables are the limits."""
    thresholds = default_policy("production").thresholds
    assert thresholds.api.methods["GET"] == 500
    assert thresholds.financial["transaction_processing"] == 1000


OVERLAYS = {
    "api.methods.GET": (500, 800, 1000),
    "api.methods.POST": (1000, 1500, 2000),
    "api.methods.PUT": (800, 1200, 1600),
    "api.methods.DELETE": (600, 900, 1200),
    "api.methods.PATCH": (700, 1050, 1400),
    "api.fallback_ms": (1000, 1500, 2000),
    "api.financial.GET.limit_ms": (300, 500, 600),
    "api.financial.POST.limit_ms": (800, 1200, 1600),
    "api.financial.PUT.limit_ms": (1000, 1500, 2000),
    "api.financial.DELETE.limit_ms": (500, 750, 1000),
    "database.SELECT": (200, 300, 500),
    "database.INSERT": (300, 450, 750),
    "database.UPDATE": (400, 600, 1000),
    "database.DELETE": (250, 400, 600),
    "financial.transaction_processing": (1000, 1500, 2000),
    "financial.budget_calculation": (1500, 2200, 3000),
    "financial.financial_analysis": (3000, 4500, 6000),
    "financial.payment_processing": (1200, 1800, 2500),
    "background.default_ms": (5000, 7500, 10000),
}


def limit_at(environment: str, dotted: str) -> object:
    node: object = default_policy(environment).thresholds.to_dict()
    for part in dotted.split("."):
        assert isinstance(node, dict)
        node = node[part]
    return node


@pytest.mark.parametrize(("dotted", "limits"), OVERLAYS.items())
def test_limits_increase_from_production_to_development(
    dotted: str, limits: tuple[float, float, float]
) -> None:
    environments = ("production", "staging", "development")
    assert tuple(limit_at(environment, dotted) for environment in environments) == limits
    assert limits[0] < limits[1] < limits[2]


def test_every_limit_has_an_overlay() -> None:
    """A new limit needs a value for each environment."""
    thresholds = default_policy("production").thresholds.to_dict()
    limits = {
        *(f"api.methods.{name}" for name in thresholds["api"]["methods"]),
        *(f"api.financial.{name}.limit_ms" for name in thresholds["api"]["financial"]),
        *(f"database.{name}" for name in thresholds["database"]),
        *(f"financial.{name}" for name in thresholds["financial"]),
        "api.fallback_ms",
        "background.default_ms",
    }
    assert limits == set(OVERLAYS)


def test_an_unknown_environment_has_the_limits_of_production() -> None:
    assert default_policy("qa") == default_policy("production")


def test_financial_segments_are_equal_in_all_environments() -> None:
    for environment in ("staging", "development"):
        for method, rule in default_policy(environment).thresholds.api.financial.items():
            assert rule.segments == default_policy().thresholds.api.financial[method].segments
