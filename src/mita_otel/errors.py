"""What a person reads when a setting is wrong: the thing, the place, the mend."""


class ConfigurationError(Exception):
    """A setting cannot be used.

    `configure(strict=True)` raises it; without `strict` its message is logged once and the service runs on
    with the nearest safe behaviour.
    """
