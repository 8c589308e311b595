"""Verifies the signatures of timestamps with `openssl`, without network.

Without the authority's certificates, a signature is verified with the certificate in the timestamp: a changed timestamp is found,
but not one that another authority signed.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import ssl
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Final

from mita_otel.audit.errors import AuditError
from mita_otel.audit.timestamps import StampedAnchor, Timestamp

_TIMEOUT_S: Final = 60
_CHUNK: Final = 256
"""Timestamps in memory at once."""
_NS: Final = 1_000_000_000


class TimestampVerifier:
    """Verifies timestamps, and lists what it could not verify.

    Args:
        authority: Certificates of the authority (PEM). None: the identity of the signer is not verified.
        max_lag_s: Seconds between an anchor and its timestamp.
    """

    def __init__(self, authority: Path | None, max_lag_s: float) -> None:
        self._authority = authority
        self._max_lag_s = max_lag_s
        self._openssl = shutil.which("openssl")
        self._count = 0
        self.signatures = 0
        """Timestamps with a valid signature."""
        self._signers: Counter[str] = Counter()

    def problems(self, timestamps: Iterable[StampedAnchor]) -> Iterator[tuple[StampedAnchor, str | None]]:
        """Yield each anchor with the reason why its timestamp does not prove it; None if it does.

        Raises:
            AuditError: Certificates of the authority are given, and `openssl` is not installed.
        """
        each = iter(timestamps)
        with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(os.cpu_count()) as pool:
            while chunk := list(islice(each, _CHUNK)):
                numbered = [(Path(folder, str(at)), one) for at, one in enumerate(chunk)]
                self._count += len(chunk)
                for one, problem in zip(chunk, pool.map(self._problem, numbered), strict=True):
                    self.signatures += problem is None and self._openssl is not None
                    yield one, problem

    def unverified(self) -> list[str]:
        """Return what was not verified, in sentences."""
        if not self._count or self._authority is not None:
            return []
        if self._openssl is None:
            return [f"the signatures of {self._count:,} timestamps: openssl is not installed"]
        signers = ", ".join(f"{name} ({count:,})" for name, count in sorted(self._signers.items()))
        return [
            "whether the signers of the timestamps are your time-stamping authority: set "
            f"audit.anchors.timestamp_authority to its certificates. Signed by {signers or 'no valid certificate'}"
        ]

    def _problem(self, numbered: tuple[Path, StampedAnchor]) -> str | None:
        path, one = numbered
        problem = one.problem(self._max_lag_s)
        if problem is not None:
            return problem
        if self._openssl is None:
            if self._authority is None:
                return None
            raise AuditError(
                "signatures of timestamps are verified with openssl, which is not installed; install it"
            )
        path.write_bytes(one.token)
        if self._authority is None:
            signer = self._signer(path)
            if signer is None:
                return "the signature of the timestamp is not valid: the timestamp was changed"
            self._signers[signer] += 1
        elif not self._is_by_authority(self._authority, path, one):
            return "the signature of the timestamp is not that of the authority"
        return None

    def _signer(self, token: Path) -> str | None:
        """Return the fingerprint of the certificate that signed a token, or None if the signature is not valid."""
        signer = token.with_suffix(".pem")
        signer.unlink(missing_ok=True)
        if not self._run(
            "cms", "-verify", "-inform", "DER", "-in", str(token), "-noverify", "-binary", "-no-CAfile", "-no-CApath", "-signer", str(signer),
            "-out", os.devnull,
        ):  # fmt: skip
            return None
        certificate = ssl.PEM_cert_to_DER_cert(signer.read_text("ascii"))
        return f"SHA-256 {hashlib.sha256(certificate).hexdigest()}"

    def _is_by_authority(self, authority: Path, token: Path, one: StampedAnchor) -> bool:
        data = token.with_suffix(".data")
        data.write_bytes(one.anchor.line())
        # A timestamp stays valid after the certificate of its signer has expired.
        at_s = Timestamp.of_token(one.token).time_ns // _NS
        return self._run(
            "ts", "-verify", "-data", str(data), "-in", str(token), "-token_in", "-CAfile", str(authority),
            "-attime", str(at_s), "-partial_chain",
        )  # fmt: skip

    def _run(self, *arguments: str) -> bool:
        command = [str(self._openssl), *arguments]
        done = subprocess.run(command, capture_output=True, check=False, timeout=_TIMEOUT_S)  # noqa: S603 - no shell
        return done.returncode == 0
