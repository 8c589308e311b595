"""How well telemetry itself is: cheap to ask, and never a reason to take a service out of traffic but one of its own."""
