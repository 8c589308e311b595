"""The mobile gateway as a part of this process's telemetry."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from mita_otel.finance.counts import FinanceCounts
from mita_otel.mobile.asgi import MobileApp, router_of
from mita_otel.mobile.gateway import MobileGateway
from mita_otel.mobile.gateway_metrics import GatewayMetrics
from mita_otel.sdk.configuration import configure, configured
from mita_otel.sdk.health.checks import mobile_checks
from mita_otel.sdk.telemetry import Telemetry

if TYPE_CHECKING:
    from fastapi import APIRouter


def mobile_app(telemetry: Telemetry | None = None) -> MobileApp:
    """Return the gateway for mobile apps as an ASGI application, to be mounted anywhere or served alone.

    It takes what Sentry's SDKs send to `/api/{project}/envelope/`, OTLP, and a JavaScript tunnel; redacts it, holds
    screens, requests and operations to the policy's limits, and sends it on. What broke a limit is counted in
    `get_performance_summary()`, in metrics and error budgets, and reported to listeners, as the service's own breaches are.
    The health endpoints show what waits, what fails and what was lost.
    Errors are counted, and alerts hear of them. Its engine starts at once, in the background.

    Args:
        telemetry: What `configure()` returned. None: it is called, if it has not been.
    """
    telemetry = telemetry or configured() or configure()
    performance, alerts = telemetry.performance, telemetry.alerts
    metrics = (
        GatewayMetrics(
            performance.measurements.breaches,
            performance.measurements.observers,
            counts=FinanceCounts(telemetry.policy.finance),
            on_error=alerts.on_error if alerts is not None else lambda signal: None,
        )
        if performance is not None
        else GatewayMetrics()
    )
    gateway = MobileGateway(telemetry.policy, metrics=metrics)
    telemetry.keep(gateway)
    if telemetry.health is not None:
        policy = telemetry.policy
        telemetry.health.also(partial(mobile_checks, metrics, policy.mobile.spool, policy.health))
    gateway.start_in_background()
    return MobileApp(gateway)


def mobile_router(telemetry: Telemetry | None = None) -> APIRouter:
    """Return the gateway's routes for a FastAPI application: `app.include_router(mobile_router())`; see `mobile_app`.

    Args:
        telemetry: What `configure()` returned. None: it is called, if it has not been.

    Raises:
        ConfigurationError: FastAPI is not installed.
    """
    return router_of(mobile_app(telemetry))
