"""Rate limits per client: token buckets, a bounded number of them."""

from __future__ import annotations

import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from mita_otel.policy.mobile import RatePolicy

_IPV6_NETWORK: Final = 64
"""Prefix bits that the addresses of one customer share."""
_MINUTE_S: Final = 60.0


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at_s: float


class ClientRates:
    """Decides whether a client may send now. Not thread-safe: used on the event loop.

    Args:
        policy: The rates.
        clock: Monotonic seconds.
    """

    def __init__(self, policy: RatePolicy, clock: Callable[[], float] = time.monotonic) -> None:
        self._policy = policy
        self._clock = clock
        self._clients: OrderedDict[str, _Bucket] = OrderedDict()
        self._total = _Bucket(policy.total_burst, clock())

    def charge(self, address: str, cpu_s: float) -> None:
        """Charge a client for the CPU time of its request, known only afterwards; at most one burst."""
        tokens = cpu_s * 1000 / self._policy.request_cpu_ms - 1
        bucket = self._clients.get(network_of(address))
        if tokens <= 0 or bucket is None:
            return
        bucket.tokens = max(-self._policy.client_burst, bucket.tokens - tokens)
        self._total.tokens = max(-self._policy.total_burst, self._total.tokens - tokens)

    def wait_s(self, address: str) -> float:
        """Take a token. Returns 0, or the seconds that the client must wait if no token was taken."""
        policy, now = self._policy, self._clock()
        name = network_of(address)
        bucket = self._clients.get(name)
        if bucket is None:
            bucket = self._clients[name] = _Bucket(policy.client_burst, now)
            if len(self._clients) > policy.max_clients:
                self._clients.popitem(last=False)
        else:
            self._clients.move_to_end(name)
        rates = (
            (bucket, policy.client_burst, policy.client_per_minute / _MINUTE_S),
            (self._total, policy.total_burst, policy.total_per_minute / _MINUTE_S),
        )
        for one, burst, per_second in rates:
            one.tokens = min(burst, one.tokens + max(0.0, now - one.at_s) * per_second)
            one.at_s = now
        wait_s = max((1 - one.tokens) / per_second for one, _, per_second in rates)
        if wait_s > 0:
            return wait_s
        for one, _, _ in rates:
            one.tokens -= 1
        return 0.0


def network_of(address: str) -> str:
    """Return the key of a client: its address, its IPv6 network of 64 bits, or the text if it is no address."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address[:64]
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, _IPV6_NETWORK), strict=False))
    return str(parsed)
