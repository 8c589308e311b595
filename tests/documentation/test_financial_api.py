"""The table of the financial API lists every exported name, and no other."""

from __future__ import annotations

import re

import pytest

import mita_otel
from documentation.markdown import ROOT
from mita_otel import semconv

PAGE = (ROOT / "docs" / "financial-api.md").read_text("utf-8")
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in PAGE.partition("## Names")[2].partition("## Scope of")[0].splitlines()
    if line.startswith("|")
][2:]
OURS = {
    value for name, value in vars(semconv).items() if isinstance(value, str) and value.startswith("mita.")
}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0] or row[1])
def test_the_names_of_a_row_are_exported(row: list[str]) -> None:
    for name in re.findall(r"`([A-Za-z_]+)(?:\(\))?`", " ".join(row[:2])):
        assert hasattr(mita_otel, name) or name == "with", name


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0] or row[1])
def test_the_attributes_of_a_row_are_declared(row: list[str]) -> None:
    for name in re.findall(r"`(mita\.[\w.*]+)`", row[2]):
        stem = name.removesuffix(".*")
        assert name in OURS or any(one.startswith(stem) for one in OURS), name


def test_every_public_name_of_the_finance_package_is_in_the_table() -> None:
    named = set(re.findall(r"`([A-Za-z_]+)(?:\(\))?`", " ".join(" ".join(row[:2]) for row in ROWS)))
    homes = mita_otel._homes()  # type: ignore[attr-defined]  # private, so the stub does not have it
    exported = {name for name, home in homes.items() if home.startswith("mita_otel.finance")}
    assert exported - named <= {"MissingUserError"}
