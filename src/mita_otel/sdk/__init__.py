"""The composition root: `configure()`, OpenTelemetry's entry points and the handle on running telemetry."""
