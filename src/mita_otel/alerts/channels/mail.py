"""E-mail, by SMTP."""

from __future__ import annotations

import smtplib
import ssl
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Final
from urllib.parse import unquote, urlsplit

from mita_otel import environment_variables as variables
from mita_otel.alerts.channels.notifier import RefusedError, TryLaterError
from mita_otel.alerts.notification import Notification
from mita_otel.errors import ConfigurationError
from mita_otel.policy.channels import EmailPolicy

_PORTS: Final = {"smtp": 587, "smtps": 465}
_TEMPORARY: Final = range(400, 500)


@dataclass(frozen=True, slots=True)
class MailServer:
    """A mail server."""

    host: str
    port: int
    user: str
    password: str
    tls: bool
    """Whether the connection is encrypted from the start (SMTPS)."""

    @classmethod
    def from_url(cls, url: str) -> MailServer:
        """Return the server of `smtp://user:password@host:587` or `smtps://…`.

        Raises:
            ConfigurationError: It is not such a URL.
        """
        try:
            parts = urlsplit(url.strip())
            port = parts.port
        except ValueError:
            parts, port = urlsplit(""), None
        if parts.scheme not in _PORTS or not parts.hostname:
            raise ConfigurationError(
                f"{variables.SMTP_URL} is not the URL of a mail server; write it like smtp://user:password@host:587"
            )
        return cls(
            parts.hostname,
            port or _PORTS[parts.scheme],
            unquote(parts.username or ""),
            unquote(parts.password or ""),
            parts.scheme == "smtps",
        )


class MailNotifier:
    """Sends e-mail, each over a new connection.

    Args:
        server: The mail server.
        policy: Sender and encryption.
        to: Recipients.
        timeout_s: Seconds that each step may take.
        context: Verifies certificates. None: the system's certificate authorities.
    """

    def __init__(
        self,
        server: MailServer,
        policy: EmailPolicy,
        to: tuple[str, ...],
        *,
        timeout_s: float,
        context: ssl.SSLContext | None = None,
    ) -> None:
        self._server = server
        self._policy = policy
        self._to = to
        self._timeout_s = timeout_s
        self._context = context or ssl.create_default_context()

    def send(self, notification: Notification) -> str:
        """Send the message to the server, and return its `Message-ID`."""
        message = mail(notification, self._policy.sender, self._to)
        where = f"e-mail: {self._server.host}:{self._server.port}"
        try:
            connection = self._connected()
            try:
                refused = connection.send_message(message)
            except BaseException:
                connection.close()
                raise
            _quit(connection)
        except smtplib.SMTPAuthenticationError as error:
            raise RefusedError(
                f"{where}: the server rejects user or password ({error.smtp_code}); check {variables.SMTP_URL}"
            ) from error
        except smtplib.SMTPRecipientsRefused as error:
            code, reply = next(iter(error.recipients.values()))
            raise _by_code(
                code, f"{where}: refuses {', '.join(error.recipients)}: {code} {_text(reply)}"
            ) from error
        except smtplib.SMTPResponseException as error:
            raise _by_code(
                error.smtp_code, f"{where}: {error.smtp_code} {_text(error.smtp_error)}"
            ) from error
        except smtplib.SMTPNotSupportedError as error:
            raise RefusedError(f"{where}: {error}; see alerts.email.starttls") from error
        except ssl.SSLError as error:
            raise RefusedError(f"{where}: no encrypted connection: {error.reason or error}") from error
        except (smtplib.SMTPException, OSError) as error:
            raise TryLaterError(f"{where}: {type(error).__name__} {error}".rstrip()) from error
        if refused:
            code, reply = next(iter(refused.values()))
            raise RefusedError(f"{where}: refuses {', '.join(refused)}: {code} {_text(reply)}")
        return str(message["Message-ID"])

    def close(self) -> None:
        """Do nothing: no connection is kept."""

    def _connected(self) -> smtplib.SMTP:
        server = self._server
        if server.tls:
            connection: smtplib.SMTP = smtplib.SMTP_SSL(
                server.host, server.port, timeout=self._timeout_s, context=self._context
            )
        else:
            connection = smtplib.SMTP(server.host, server.port, timeout=self._timeout_s)
        try:
            connection.ehlo()
            required, offered = self._policy.starttls == "required", self._policy.starttls == "if_offered"
            if not server.tls and (required or (offered and connection.has_extn("starttls"))):
                connection.starttls(context=self._context)
                connection.ehlo()
            if server.user:
                connection.login(server.user, server.password)
        except BaseException:
            connection.close()
            raise
        return connection


def mail(notification: Notification, sender: str, to: tuple[str, ...]) -> EmailMessage:
    """Return the message. All messages about an alert form one thread."""
    test = "Test: " if notification.is_test else ""
    message = EmailMessage()
    message["Subject"] = f"{test}[{notification.environment}] {notification.title}"
    message["From"] = sender
    message["To"] = ", ".join(to)
    message["Date"] = format_datetime(notification.created)
    domain = sender.rpartition("@")[2]
    thread = f"<{notification.alert_id}.{notification.at_ns}@{domain}>"
    if notification.action == "trigger":
        message["Message-ID"] = thread
    else:
        # There may be several escalations, and mail clients hide the second of two messages with one id.
        message["Message-ID"] = (
            f"<{notification.alert_id}.{notification.notified_ns}.{notification.action}@{domain}>"
        )
        message["In-Reply-To"] = message["References"] = thread
    message["Auto-Submitted"] = "auto-generated"
    message["X-Mita-Alert"] = notification.alert_id
    message.set_content("\n".join(_lines(notification)))
    return message


def _lines(notification: Notification) -> list[str]:
    facts = [
        ("Why", notification.reason),
        ("Service", notification.service),
        ("Environment", notification.environment),
        ("Urgency", notification.urgency),
        ("Since", f"{notification.at:%Y-%m-%d %H:%M:%S} UTC"),
        *notification.facts,
    ]
    return [
        notification.title,
        "",
        *(f"{label}: {' '.join(text.split())}" for label, text in facts),
        "",
        *(
            [f"Acknowledge: {notification.acknowledge_command}", ""]
            if notification.acknowledge_command
            else []
        ),
    ]


def _quit(connection: smtplib.SMTP) -> None:
    """Close the session. A failure here must not fail the message, or it would be sent twice."""
    try:
        connection.quit()
    except (smtplib.SMTPException, OSError):
        connection.close()


def _by_code(code: int, reason: str) -> Exception:
    return TryLaterError(reason) if code in _TEMPORARY else RefusedError(reason)


def _text(reply: bytes | str) -> str:
    text = reply.decode("utf-8", "replace") if isinstance(reply, bytes) else reply
    return " ".join(text.split())[:200]
