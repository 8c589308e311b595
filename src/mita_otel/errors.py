"""Errors of settings. A message names the setting, the place and the fix."""


class ConfigurationError(Exception):
    """A setting cannot be used.

    `configure(strict=True)` raises it; without `strict` its message is logged once and the service runs on
    with the nearest safe behaviour.
    """
