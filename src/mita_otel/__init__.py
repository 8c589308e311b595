"""An OpenTelemetry distribution for Python financial services."""
