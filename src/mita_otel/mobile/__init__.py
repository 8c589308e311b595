"""The mobile gateway: receives the telemetry of mobile apps and forwards it to Sentry; see `docs/mobile.md`.

MobileApp(MobileGateway(policy))    an ASGI application
"""

from __future__ import annotations

from mita_otel.mobile.asgi import MobileApp
from mita_otel.mobile.gateway import MobileGateway
from mita_otel.mobile.gateway_metrics import GatewayMetrics

__all__ = ["GatewayMetrics", "MobileApp", "MobileGateway"]
