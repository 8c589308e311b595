"""The OpenTelemetry entry points: what `opentelemetry-instrument` calls. They call `configure()`."""

from __future__ import annotations

import logging
import os
from importlib.util import find_spec
from typing import Any

from opentelemetry.instrumentation.distro import BaseDistro  # type: ignore[attr-defined]  # its module is not typed

from mita_otel import environment_variables as variables
from mita_otel.sdk.env_check import changed, unusable

_logger = logging.getLogger("mita_otel")

_ASKED = "_MITA_OTEL_DISABLED_INSTRUMENTATIONS"
"""Keeps what the user wrote in OTEL_PYTHON_DISABLED_INSTRUMENTATIONS while we add to it."""


class MitaDistro(BaseDistro):  # type: ignore[misc]
    """Comes first: sees to it that nothing is measured twice."""

    def _configure(self, **kwargs: Any) -> None:
        _disable_what_we_measure_ourselves()


class MitaConfigurator:
    """Comes second: configures everything."""

    def configure(self, **kwargs: Any) -> None:
        """Call `mita_otel.configure()` with the environment as the user wrote it."""
        from mita_otel import configure  # not from its module: OpenTelemetry has to be imported first

        hidden = _restore()
        try:
            if os.environ.get(variables.CONFIG_FILE):
                _configure_from_file()
            configure()
        finally:
            if hidden:
                _disable_what_we_measure_ourselves()


def post_instrument() -> None:
    """Come last: give the environment back as it was, for the processes that this one starts."""
    _restore()


def measured_here() -> list[str]:
    """Return the names of the instrumentations that are kept away: mita-otel measures their libraries itself."""
    ours = ["sqlalchemy", "fastapi", "threading"]
    if find_spec("fastapi") is not None:
        ours.append("starlette")  # FastAPI's base class: it would make a second SERVER span a request
    return ours


def _disable_what_we_measure_ourselves() -> None:
    """Keep the loader away from the packages whose libraries `instrumentation/` measures.

    A distro's `load_instrumentor` comes too late for that: a package whose declared versions do not fit (the
    contrib instrumentation with SQLAlchemy 2.1) costs an error line before any distro is asked.
    """
    asked = os.environ.get(variables.DISABLED_INSTRUMENTATIONS, "")
    os.environ[_ASKED] = asked
    os.environ[variables.DISABLED_INSTRUMENTATIONS] = ",".join(filter(None, [asked, *measured_here()]))


def _restore() -> bool:
    asked = os.environ.pop(_ASKED, None)
    if asked:
        os.environ[variables.DISABLED_INSTRUMENTATIONS] = asked
    elif asked is not None:
        os.environ.pop(variables.DISABLED_INSTRUMENTATIONS, None)
    return asked is not None


def _configure_from_file() -> None:
    """Let the SDK read `OTEL_CONFIG_FILE`; `configure()` joins what it makes and puts our chain in front.

    The SDK ignores every processor that a distro passes once the variable is set, so redaction has to come
    afterwards.
    """
    path = os.environ[variables.CONFIG_FILE]
    try:
        from opentelemetry.configuration import (  # type: ignore[import-not-found,unused-ignore]
            configure_sdk,
            load_config_file,
        )

        with changed(os.environ, unusable(os.environ).changes):  # `configure()` says what they are
            configure_sdk(load_config_file(path))
    except ImportError:
        _logger.error(
            "%s is set, but opentelemetry-configuration is not installed: the file is not read. "
            "Install it, or unset the variable",
            variables.CONFIG_FILE,
        )
    except Exception as error:  # noqa: BLE001 - the file is the user's
        _logger.error("%s=%s cannot be used: %s", variables.CONFIG_FILE, path, error)
