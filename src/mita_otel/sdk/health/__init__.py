"""The health of telemetry itself. Only a local fault takes a service out of traffic."""
