"""Measures the libraries of a service: applications, engines and threads; redacts access logs."""

from __future__ import annotations

from mita_otel import environment_variables as variables
from mita_otel.finance.middleware import (
    FinancialSentryMiddleware,
    capture_from_request,
)
from mita_otel.instrumentation.access_log import AccessLogRedaction
from mita_otel.instrumentation.fastapi import FastAPIInstrumentation, excluded_urls
from mita_otel.instrumentation.sqlalchemy import SQLAlchemyInstrumentation
from mita_otel.instrumentation.threads import ThreadInstrumentation
from mita_otel.policy.limits import lowest_ms
from mita_otel.sdk.service import Service
from mita_otel.sdk.telemetry import Instrumentation


def instrument_libraries(service: Service) -> Instrumentation:
    """Measure applications, engines and threads, each as far as policy and variable allow; redact access logs."""
    policy, patches = service.policy, service.patches
    middleware = FinancialSentryMiddleware if policy.finance.middleware else None
    applications = FastAPIInstrumentation(
        policy.instrumentation, patches, middleware, capture_from_request, excluded_urls(service.env)
    )
    engines = SQLAlchemyInstrumentation(
        policy.instrumentation,
        patches,
        slow_checkout_ms=lowest_ms(policy.thresholds.checkout.limit_ms),
    )
    disabled = variables.disabled_instrumentations(service.env)
    if disabled & {"fastapi", "*"}:
        applications.silence()
    else:
        applications.install()
    if policy.instrumentation.sqlalchemy_source() != "off" and not disabled & {"sqlalchemy", "*"}:
        engines.install()
    if policy.instrumentation.threads and not disabled & {"threading", "*"}:
        threads = ThreadInstrumentation()
        patches.add(threads.remove)
        threads.install()
    if policy.instrumentation.access_log == "redact":
        AccessLogRedaction(policy.instrumentation.access_loggers, service.redactor).install(patches)
    return Instrumentation(applications, engines)
