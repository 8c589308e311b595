"""Posts anchors elsewhere, where whoever can change this machine's files cannot change them."""

from __future__ import annotations

import logging

import urllib3

from mita_otel.audit.anchors import Anchor

_logger = logging.getLogger("mita_otel.audit")

_OK = range(200, 300)


class AnchorPost:
    """Posts each anchor as JSON. The file of anchors is the one that counts: a post that fails is only logged.

    Args:
        url: Where to; `https://` outside of one's own network.
        timeout_s: Seconds that one post may take.
    """

    def __init__(self, url: str, timeout_s: float) -> None:
        self._url = url
        self._http = urllib3.PoolManager(
            timeout=urllib3.Timeout(total=timeout_s), retries=False, maxsize=1, num_pools=1
        )
        self._failing = False

    def note(self, anchor: Anchor) -> None:
        """Post the anchor. Never raises."""
        try:
            answer = self._http.request(
                "POST", self._url, body=anchor.line(), headers={"content-type": "application/json"}
            )
            problem = "" if answer.status in _OK else f"it answered {answer.status}"
        except urllib3.exceptions.HTTPError as error:
            problem = str(error)
        if problem and not self._failing:
            _logger.error("anchors do not reach %s: %s; check audit.anchors.url", self._url, problem)
        self._failing = bool(problem)
