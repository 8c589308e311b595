"""Timestamps of anchors by a time-stamping authority (RFC 3161): a second sink that the key of the trail cannot forge.

Someone with the key could write the database and the anchors anew. The authority's signature says when an anchor existed,
so anchors that were written later than they claim are found.
"""

from __future__ import annotations

import base64
import hashlib
import json
import logging
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from mita_otel.audit.anchors import Anchor, AnchorFile
from mita_otel.audit.canonical import canonical
from mita_otel.audit.errors import AuditError

_logger = logging.getLogger("mita_otel.audit")

_SEQUENCE, _INTEGER, _OCTETS, _OID, _TIME = 0x30, 0x02, 0x04, 0x06, 0x18
"""Tags of DER (ITU-T X.690)."""
_SHA256: Final = bytes.fromhex("300d06096086480165030402010500")
"""AlgorithmIdentifier of SHA-256."""
_TST_INFO: Final = bytes.fromhex("2a864886f70d0109100104")
"""Object identifier of a timestamp's content, 1.2.840.113549.1.9.16.1.4."""
_GRANTED: Final = (0, 1)
_QUERY: Final = "application/timestamp-query"
_MAX_BYTES: Final = 64 * 1024
_NS: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Timestamp:
    """What a token says."""

    digest: bytes
    """SHA-256 of the data."""
    time_ns: int
    """Nanoseconds since the epoch."""
    nonce: int | None

    @classmethod
    def of_token(cls, token: bytes) -> Timestamp:
        """Return what a token says. Its signature is not checked.

        Raises:
            ValueError: It is not a timestamp with SHA-256.
        """
        signed = _members(_members(_only(token, _SEQUENCE), 2)[1][1], 1)[0][1]
        content = _members(_members(signed, 3)[2][1], 2)
        if content[0] != (_OID, _TST_INFO):
            raise ValueError("the token is not a timestamp")
        info = _members(_only(_only(content[1][1], _OCTETS), _SEQUENCE), 5)
        imprint = _members(info[2][1], 2)
        if _encoded(*imprint[0]) != _SHA256:
            raise ValueError("the timestamp is not of a SHA-256 digest")
        if info[4][0] != _TIME:
            raise ValueError("the timestamp has no time")
        nonces = [value for tag, value in info[5:] if tag == _INTEGER]
        return cls(
            imprint[1][1], _time_ns(info[4][1].decode("ascii")), int.from_bytes(nonces[0]) if nonces else None
        )


@dataclass(frozen=True, slots=True)
class StampedAnchor:
    """An anchor with a timestamp."""

    anchor: Anchor
    token: bytes

    def problem(self, max_lag_s: float) -> str | None:
        """Return why the timestamp does not prove the anchor; None if it does. Its signature is not checked.

        Args:
            max_lag_s: Seconds between the anchor and its timestamp.
        """
        try:
            said = Timestamp.of_token(self.token)
        except (ValueError, UnicodeDecodeError) as error:
            return f"the timestamp cannot be read ({error})"
        if said.digest != hashlib.sha256(self.anchor.line()).digest():
            return "the timestamp is of another anchor: the anchor was changed"
        lag_s = (said.time_ns - self.anchor.noted_ns) / _NS
        if abs(lag_s) > max_lag_s:
            return f"the anchor was timestamped {lag_s:,.0f} seconds after the time that it claims: it was written later"
        return None


class AnchorTimestamps:
    """Has each anchor timestamped, and appends both to a file. A failure is only logged: the anchor file has the anchor.

    Args:
        url: Address of the authority.
        path: The file. Its folder is created if it is missing.
        timeout_s: Maximum seconds of one request.
    """

    def __init__(self, url: str, path: Path, timeout_s: float) -> None:
        self._url = url
        self._file = AnchorFile(path)
        import urllib3  # only here: it takes longer to load than the rest of the audit trail

        self._http = urllib3.PoolManager(
            timeout=urllib3.Timeout(total=timeout_s), retries=False, maxsize=1, num_pools=1
        )
        self._failing = False

    def note(self, anchor: Anchor) -> None:
        """Have the anchor timestamped. Never raises."""
        from urllib3.exceptions import HTTPError

        problem = ""
        try:
            self._file.append(stamped_line(anchor, self._token(anchor.line())))
        except (HTTPError, ValueError, OSError) as error:
            problem = str(error) or type(error).__name__
        if problem and not self._failing:
            _logger.error(
                "anchors are not timestamped by %s: %s; check audit.anchors.timestamp_url", self._url, problem
            )
        self._failing = bool(problem)

    def _token(self, data: bytes) -> bytes:
        nonce = secrets.randbits(63) | 1
        answer = self._http.request(
            "POST",
            self._url,
            body=_request(data, nonce),
            headers={"content-type": _QUERY},
            preload_content=False,
        )
        try:
            body = answer.read(_MAX_BYTES + 1)
        finally:
            answer.release_conn()
        if answer.status != 200 or len(body) > _MAX_BYTES:
            raise ValueError(f"it returned status {answer.status} and {len(body):,} bytes")
        members = _members(_only(body, _SEQUENCE), 1)
        status = int.from_bytes(_members(members[0][1], 1)[0][1])
        if status not in _GRANTED or len(members) < 2:
            raise ValueError(f"it refused the request with status {status}")
        token = _encoded(*members[1])
        said = Timestamp.of_token(token)
        if (said.digest, said.nonce) != (hashlib.sha256(data).digest(), nonce):
            raise ValueError("its timestamp is of another request")
        return token


def stamped_line(anchor: Anchor, token: bytes) -> bytes:
    """Return an anchor and its timestamp as a line of JSON."""
    fields = json.loads(anchor.line())
    return canonical({"anchor": fields, "timestamp": base64.b64encode(token).decode()}) + b"\n"


def read_timestamps(path: Path) -> Iterator[StampedAnchor]:
    """Yield the anchors of a file with timestamps.

    Raises:
        AuditError: The file cannot be read, or one of its lines is no anchor with a timestamp.
    """
    try:
        with path.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                if not line.endswith("}\n"):
                    continue  # an incomplete line: the process was killed while it wrote, or the disk was full
                try:
                    fields: Any = json.loads(line)
                    token = base64.b64decode(fields["timestamp"], validate=True)
                    yield StampedAnchor(Anchor.from_mapping(fields["anchor"]), token)
                except (KeyError, TypeError, ValueError) as error:
                    raise AuditError(f"{path}, line {number}: {error}; the file was changed") from error
    except OSError as error:
        raise AuditError(f"the timestamps {path} cannot be read: {error.strerror or error}") from error


# --- DER ---------------------------------------------------------------------------------------------
def _request(data: bytes, nonce: int) -> bytes:
    """Return a TimeStampReq that asks for the authority's certificate as well."""
    imprint = _encoded(_SEQUENCE, _SHA256 + _encoded(_OCTETS, hashlib.sha256(data).digest()))
    number = _encoded(_INTEGER, nonce.to_bytes(nonce.bit_length() // 8 + 1))
    return _encoded(_SEQUENCE, b"\x02\x01\x01" + imprint + number + b"\x01\x01\xff")


def _encoded(tag: int, content: bytes) -> bytes:
    if len(content) < 0x80:
        return bytes([tag, len(content)]) + content
    length = len(content).to_bytes((len(content).bit_length() + 7) // 8)
    return bytes([tag, 0x80 | len(length)]) + length + content


def _members(content: bytes, least: int) -> list[tuple[int, bytes]]:
    """Return tag and content of each member.

    Raises:
        ValueError: It is not DER, or has fewer than `least` members.
    """
    members: list[tuple[int, bytes]] = []
    at = 0
    while at < len(content):
        if len(content) - at < 2:
            raise ValueError("incomplete DER")
        tag, length = content[at], content[at + 1]
        at += 2
        if length >= 0x80:
            size = length & 0x7F
            if not 1 <= size <= 4:
                raise ValueError("a length that is not DER")
            length, at = int.from_bytes(content[at : at + size]), at + size
        if at + length > len(content):
            raise ValueError("incomplete DER")
        members.append((tag, content[at : at + length]))
        at += length
    if len(members) < least:
        raise ValueError("DER with missing members")
    return members


def _only(content: bytes, tag: int) -> bytes:
    """Return the content of the first member, which must have a tag."""
    found, inner = _members(content, 1)[0]
    if found != tag:
        raise ValueError(f"unexpected DER tag {found:#x}")
    return inner


def _time_ns(text: str) -> int:
    """Return a GeneralizedTime such as `20261124093000.5Z` in nanoseconds since the epoch."""
    whole, _, fraction = text.removesuffix("Z").partition(".")
    at = datetime.strptime(whole, "%Y%m%d%H%M%S").replace(tzinfo=UTC)
    return int(at.timestamp()) * _NS + int(f"{fraction:0<9}"[:9] or 0)
