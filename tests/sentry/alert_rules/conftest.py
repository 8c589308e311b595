"""Fixtures: the Sentry server of the client's tests, and an operator."""

from __future__ import annotations

import pytest

from mita_otel.policy import default_policy
from sentry.alert_rules.operator import Operator
from sentry.api.conftest import MakeApi, _no_pauses, api_of, sentry  # noqa: F401 - fixtures
from sentry.api.fake import FakeSentry


@pytest.fixture
def operator(sentry: FakeSentry, api_of: MakeApi) -> Operator:  # noqa: F811 - fixtures
    return Operator(api_of(sentry), default_policy())
