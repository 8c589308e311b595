"""Value in, safe value out: pure, thread-safe, no OpenTelemetry."""
