"""The Sentry bridge: the only room that knows sentry_sdk."""
