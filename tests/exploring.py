"""Examples of property tests: fixed ones in `make test`, new and more ones in `make explore`.

A search of the moment finds what it finds on somebody else's commit. `MITA_TEST_EXPLORE=20` looks for twenty times
as many examples as usual, each time others.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

_TIMES = int(os.environ.get("MITA_TEST_EXPLORE", "0"))


def examples(count: int) -> int:
    """Return how many examples to try, where `count` is as many as usual."""
    return count * max(1, _TIMES)


def load_profile() -> None:
    """Make it hypothesis's default before any test module is imported: decorators read it then."""
    settings.register_profile(
        "mita",
        derandomize=not _TIMES,
        max_examples=examples(100),
        deadline=None,  # a busy machine must not fail a test
        suppress_health_check=[HealthCheck.too_slow],
    )
    settings.load_profile("mita")
