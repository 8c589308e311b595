"""Anchors: signed records, outside the database, of the last entry of each chain.

A chain whose last entries were deleted still verifies. An anchor proves that they existed.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from mita_otel import environment_variables as variables
from mita_otel.audit.canonical import AuditKeys, canonical
from mita_otel.audit.errors import AuditError
from mita_otel.spool import sync_folder

_logger = logging.getLogger("mita_otel.audit")


@dataclass(frozen=True, slots=True)
class Anchor:
    """At `noted_ns`, the database had entry `sequence` of the chain, with the signature `mac`."""

    chain: str
    sequence: int
    mac: str
    noted_ns: int
    """Nanoseconds since the epoch."""
    key_id: str
    signature: str = ""
    """Signature of the other fields, hexadecimal."""

    @classmethod
    def sign(cls, keys: AuditKeys, *, chain: str, sequence: int, mac: str, noted_ns: int) -> Anchor:
        """Return a signed anchor."""
        bare = cls(chain, sequence, mac, noted_ns, keys.current_id)
        return cls(chain, sequence, mac, noted_ns, keys.current_id, keys.sign("anchor", bare._message()))

    def is_genuine(self, keys: AuditKeys) -> bool:
        """Return whether the signature is valid under a known key."""
        return keys.verify("anchor", self._message(), self.signature, self.key_id)

    def line(self) -> bytes:
        """Return the anchor as a line of JSON."""
        return canonical(asdict(self)) + b"\n"

    def _message(self) -> bytes:
        return canonical([self.chain, self.sequence, self.mac, self.noted_ns, self.key_id])

    @classmethod
    def from_mapping(cls, fields: Any) -> Anchor:
        """Return the anchor of a parsed line.

        Raises:
            ValueError: The line is not an anchor.
        """
        try:
            return cls(
                chain=str(fields["chain"]),
                sequence=int(fields["sequence"]),
                mac=str(fields["mac"]),
                noted_ns=int(fields["noted_ns"]),
                key_id=str(fields["key_id"]),
                signature=str(fields["signature"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"not an anchor ({type(error).__name__}: {error})") from error


class AnchorSink(Protocol):
    """Keeps anchors."""

    def note(self, anchor: Anchor, /) -> None:
        """Keep the anchor.

        Raises:
            OSError: The anchor could not be kept.
        """


class AnchorFile:
    """Appends anchors to a file. Several processes may share it.

    Args:
        path: The file. Its folder is created if it is missing.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def note(self, anchor: Anchor) -> None:
        """Append the anchor and flush it to the disk."""
        try:
            self.append(anchor.line())
        except OSError as error:
            raise OSError(
                f"the anchors {self.path} cannot be written: {error.strerror or error}; free disk space, give this process "
                f"write permission, or set another file in {variables.AUDIT_ANCHORS}"
            ) from error

    def append(self, line: bytes) -> None:
        """Append a line and flush it to the disk.

        Raises:
            OSError: It could not be written.
        """
        new = not self.path.exists()
        if new:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        descriptor = os.open(self.path, flags, 0o600)
        try:
            line = self._line_break() + line
            if os.write(descriptor, line) != len(line):
                raise OSError("the line was written incompletely")
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if new:
            sync_folder(self.path.parent)

    def _line_break(self) -> bytes:
        """Return a line break if the last line is incomplete, as a full disk leaves it."""
        with self.path.open("rb") as file:
            if not file.seek(0, os.SEEK_END):
                return b""
            file.seek(-1, os.SEEK_END)
            return b"" if file.read(1) == b"\n" else b"\n"


def read_anchors(path: Path) -> Iterator[Anchor]:
    """Yield the anchors of a file.

    Raises:
        AuditError: The file cannot be read, or one of its lines is not an anchor.
    """
    try:
        with path.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                if not line.strip() or not line.endswith("\n") or (line[0] == "{" and line[-2] != "}"):
                    continue  # an incomplete line: the process was killed while it wrote, or the disk was full
                try:
                    yield Anchor.from_mapping(json.loads(line))
                except ValueError as error:
                    raise AuditError(f"{path}, line {number}: {error}; the file was changed") from error
    except OSError as error:
        raise AuditError(f"the anchors {path} cannot be read: {error.strerror or error}") from error


_OK = range(200, 300)


class AnchorPost:
    """Posts each anchor as JSON. A failed post is only logged, because the anchor file is authoritative.

    Args:
        url: The target; `https://` unless it is in your own network.
        timeout_s: Maximum seconds of one post.
    """

    def __init__(self, url: str, timeout_s: float) -> None:
        self._url = url
        import urllib3  # only here: it takes longer to load than the rest of the audit trail

        self._http = urllib3.PoolManager(
            timeout=urllib3.Timeout(total=timeout_s), retries=False, maxsize=1, num_pools=1
        )
        self._failing = False

    def note(self, anchor: Anchor) -> None:
        """Post the anchor. Never raises."""
        from urllib3.exceptions import HTTPError

        try:
            answer = self._http.request(
                "POST", self._url, body=anchor.line(), headers={"content-type": "application/json"}
            )
            problem = "" if answer.status in _OK else f"it returned status {answer.status}"
        except HTTPError as error:
            problem = str(error)
        if problem and not self._failing:
            _logger.error("anchors do not reach %s: %s; check audit.anchors.url", self._url, problem)
        self._failing = bool(problem)
