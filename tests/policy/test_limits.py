"""An invalid limit is reported with its location and a fix."""

from __future__ import annotations

from pathlib import Path

import pytest

from mita_otel.policy import PolicyError, load_policy


@pytest.mark.parametrize(
    ("text", "key", "said"),
    [
        (
            "[thresholds.database]\nSELECT = -1",
            "thresholds.database.SELECT",
            "a number of milliseconds above 0",
        ),
        (
            "[thresholds.database]\nselect = 200",
            "thresholds.database.select",
            "'select' is not a statement's verb",
        ),
        ('[thresholds.database]\npayments.SELECT = "fast"', "thresholds.database.payments.SELECT", "number"),
        (
            "[thresholds.database]\npayments.Select = 3",
            "thresholds.database.payments.Select",
            "write it in capitals: SELECT",
        ),
        (
            '[thresholds.database]\nSELECT = { follow = "p99 * 2" }',
            "thresholds.database.SELECT",
            "floor_ms and ceiling_ms are missing; add them",
        ),
        (
            "[thresholds.database]\nSELECT = { floor_ms = 1, ceiling_ms = 2 }",
            "thresholds.database.SELECT",
            "follow is missing; add it",
        ),
        (
            '[thresholds.database]\nSELECT = { follow = "p100 * 1", floor_ms = 1, ceiling_ms = 2 }',
            "thresholds.database.SELECT",
            "'p100 * 1' is not a percentile times a factor",
        ),
        (
            '[thresholds.database]\nSELECT = { follow = "p50*0", floor_ms = 1, ceiling_ms = 2 }',
            "thresholds.database.SELECT",
            "not a percentile times a factor",
        ),
        (
            '[thresholds.api.methods]\nGET = { follow = "p99 * 1.5", floor_ms = 3, ceiling_ms = 2 }',
            "thresholds.api.methods.GET",
            "floor_ms (3) is above ceiling_ms (2)",
        ),
        (
            '[thresholds.api.methods]\nGET = { follow = "p99 * 1.5", floor_ms = 0, ceiling_ms = 2 }',
            "thresholds.api.methods.GET.floor_ms",
            "0 is not a number above 0",
        ),
        ("[sampling]\nratio = 2", "sampling.ratio", "at most 1"),
        ('[sampling]\nmode = "most"', "sampling.mode", 'one of "tail", "head" or "always"'),
        ("[sampling.rules.a]\nratio = 0.5", "sampling.rules.a", "the rule matches every trace"),
        ("[sampling.rules.a]\nrout = 'x'", "sampling.rules.a.rout", "no such key"),
        (
            "[thresholds.objective.windows]\nfast.short_s = 3600",
            "thresholds.objective.windows.fast",
            "short_s (3600) is not shorter than long_s (3600)",
        ),
        ("[summary]\nminutes = 10", "summary.minutes", "at least 60"),
    ],
)
def test_an_invalid_limit_is_reported_with_its_location(
    tmp_path: Path, text: str, key: str, said: str
) -> None:
    file = tmp_path / "mita-otel.toml"
    file.write_text(text)
    with pytest.raises(PolicyError) as raised:
        load_policy(file, env={})
    message = str(raised.value)
    assert message.startswith(f"{file}:")
    assert f": {key}: " in message
    assert said in message


def test_a_variable_can_set_an_adaptive_limit() -> None:
    text = '{ follow = " p95.5 * 2 ", floor_ms = 10, ceiling_ms = 1000 }'
    limit = load_policy(env={"MITA_OTEL_THRESHOLDS__DATABASE__SELECT": text}).thresholds.database["SELECT"]
    assert not isinstance(limit, float | str | dict)
    assert (limit.percentile, limit.factor) == (95.5, 2.0)
