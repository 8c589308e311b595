"""Access logs of servers are redacted, whenever the server configures logging, and formatters still work."""

from __future__ import annotations

import logging
import logging.config
from collections.abc import Mapping
from typing import Any

import pytest
from gunicorn.glogging import SafeAtoms
from uvicorn.config import LOGGING_CONFIG

from mita_otel.instrumentation.access_log import AccessLogRedaction
from mita_otel.instrumentation.patches import Patches
from mita_otel.policy import default_policy
from mita_otel.redaction import Redactor

CARD = "4111111111111111"
TOKEN = "9f8e7d6c5b4a"
PATH = f"/api/cards/{CARD}/balance?token={TOKEN}&page=2"
UVICORN = '%s - "%s %s HTTP/%s" %d'


@pytest.fixture
def access_log(patches: Patches) -> Patches:
    AccessLogRedaction(default_policy().instrumentation.access_loggers, Redactor()).install(patches)
    return patches


def configure_as_uvicorn_does() -> None:
    logging.config.dictConfig(LOGGING_CONFIG)


def remove_handlers(*names: str) -> None:
    for name in names:
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).propagate = True


def log_with(name: str, message: str, *args: Any, **kwargs: Any) -> logging.LogRecord:
    """Log to a logger, and return the record that its handler receives."""
    seen: list[logging.LogRecord] = []
    logger = logging.getLogger(name)
    handler = logging.Handler()
    handler.emit = seen.append  # type: ignore[method-assign, assignment]
    logger.addHandler(handler)
    before, logger.propagate = logger.propagate, False
    try:
        logger.error(message, *args, **kwargs)
    finally:
        logger.removeHandler(handler)
        logger.propagate = before
    return seen[0]


def test_uvicorns_access_log_is_redacted_although_uvicorn_configures_logging_later(
    access_log: Patches, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_as_uvicorn_does()
    try:
        for _ in range(2):  # the second one is cached
            logging.getLogger("uvicorn.access").info(UVICORN, "127.0.0.1:50312", "GET", PATH, "1.1", 200)
            logging.getLogger("uvicorn.access").info(
                UVICORN, "127.0.0.1:50312", "GET", "/a/7?b=1", "1.1", 200
            )
        logging.getLogger("uvicorn.error").info('%s - "WebSocket %s" [accepted]', ("127.0.0.1", 5), PATH)
    finally:
        remove_handlers("uvicorn", "uvicorn.access")
    safe = "/api/cards/[redacted:pan]/balance?token=[redacted:token]&page=2"
    access = [f'INFO:     127.0.0.1:50312 - "GET {path} HTTP/1.1" 200 OK' for path in (safe, "/a/7?b=1")]
    websocket = f"INFO:     ('127.0.0.1', 5) - \"WebSocket {safe}\" [accepted]"
    output = capsys.readouterr()
    assert output.out.splitlines() == [*access, *access]
    assert output.err.splitlines() == [websocket]


def test_gunicorns_atoms_are_redacted_and_keep_their_default(access_log: Patches) -> None:
    atoms = SafeAtoms(
        {
            "h": "10.0.0.7",
            "r": f"GET {PATH} HTTP/1.1",
            "q": f"token={TOKEN}",
            "{cookie}i": f"sid={TOKEN}",
            "B": 17,
        }
    )
    record = log_with("gunicorn.access", '%(h)s %(l)s "%(r)s" %(B)d %({X-None}i)s %({Cookie}i)s', atoms)
    assert record.getMessage() == (
        '10.0.0.7 - "GET /api/cards/[redacted:pan]/balance?token=[redacted:token]&page=2 HTTP/1.1" 17 - [redacted:cookie]'
    )
    assert isinstance(record.args, SafeAtoms)
    assert record.args["q"] == "token=[redacted:token]"  # not in the message; another handler may read it


@pytest.mark.parametrize(
    ("logger", "message", "args", "extra"),
    [
        ("hypercorn.access", "%(R)s %(s)s", ({"R": f"GET {PATH}", "s": 200},), {}),
        ("aiohttp.access", f'127.0.0.1 "GET {PATH} HTTP/1.1" 200', (), {"first_request_line": f"GET {PATH}"}),
        ("django.server", '"%s" %s %s', (f"GET {PATH} HTTP/1.1", "200", "12"), {"status_code": 200}),
        ("django.request", "%s: %s", ("Not Found", PATH), {"status_code": 404}),
        ("werkzeug", '"%s" %s %s', (f"GET {PATH} HTTP/1.1", "200", "-"), {}),
        ("tornado.access", "%d %s %.2fms", (200, f"GET {PATH} (127.0.0.1)", 1.234), {}),
        ("gunicorn.error", "Error handling request %s", (PATH,), {}),
    ],
)
def test_other_servers_logs_are_redacted(
    access_log: Patches, logger: str, message: str, args: tuple[Any, ...], extra: Mapping[str, Any]
) -> None:
    record = log_with(logger, message, *args, extra=extra)
    shown = f"{record.getMessage()} {vars(record)}"
    assert CARD not in shown
    assert TOKEN not in shown
    assert "[redacted:pan]" in record.getMessage()
    if args:
        assert record.msg == message
    if "status_code" in extra:
        assert vars(record)["status_code"] == extra["status_code"]


def test_exceptions_and_objects_for_handlers_are_kept(access_log: Patches) -> None:
    request = object()
    error = ValueError("no")
    record = log_with("django.request", "%s: %s", "Bad", PATH, exc_info=error, extra={"request": request})
    assert vars(record)["request"] is request
    assert record.exc_info is not None
    assert record.exc_info[1] is error


def test_other_loggers_are_unchanged(access_log: Patches) -> None:
    assert log_with("shop", "GET %s", PATH).args == (PATH,)


def test_a_message_whose_redaction_fails_keeps_its_arity_without_text(
    patches: Patches, monkeypatch: pytest.MonkeyPatch
) -> None:
    redactor = Redactor()
    AccessLogRedaction(["uvicorn.access"], redactor).install(patches)

    def fail(*_: Any) -> None:
        raise RuntimeError

    monkeypatch.setattr(redactor, "message", fail)
    record = log_with("uvicorn.access", UVICORN, "127.0.0.1:5", "GET", PATH, "1.1", 200)
    assert record.args == ("[redacted:error]",) * 4 + (200,)
    assert record.getMessage().endswith(" 200")


def test_shutdown_reverts_the_redaction(access_log: Patches) -> None:
    access_log.revert()
    assert log_with("uvicorn.access", UVICORN, "127.0.0.1:5", "GET", PATH, "1.1", 200).args[2] == PATH  # type: ignore[index]
