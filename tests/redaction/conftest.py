from __future__ import annotations

import pytest

from mita_otel.policy import default_policy
from mita_otel.policy.redaction import RedactionPolicy
from mita_otel.redaction import Redactor


@pytest.fixture(scope="session")
def policy() -> RedactionPolicy:
    return default_policy().redaction


@pytest.fixture(scope="session")
def redactor(policy: RedactionPolicy) -> Redactor:
    return Redactor(policy)
