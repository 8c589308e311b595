"""Bounds what the gateway holds in memory: requests, and the bytes of their bodies as they arrive.

The key of an app is public: any client can open connections, announce large bodies and send them slowly. So bytes
count when they arrive, not when they are announced. Each client gets a share. A body that arrives below the minimum
rate is refused, and if the budget is used up, the slowest body is refused for a new request.
"""

from __future__ import annotations

import asyncio
import ipaddress
import time
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from mita_otel.policy.mobile import IntakePolicy, RatePolicy

_POLL_S: Final = 0.05


class IntakeBusy(Exception):  # noqa: N818 - it is an outcome, not an error of the gateway
    """The budget is used up."""


class IntakeBudget:
    """Counts requests and bytes in memory. Not thread-safe: used on the event loop.

    Args:
        policy: The bounds.
        clock: Monotonic seconds.
    """

    def __init__(self, policy: IntakePolicy, clock: Callable[[], float] = time.monotonic) -> None:
        self._policy = policy
        self._max_bytes = int(policy.max_in_flight_megabytes * 1e6)
        self._max_client_bytes = int(policy.max_client_megabytes * 1e6)
        self.clock = clock
        """Monotonic seconds."""
        self.requests = 0
        """Requests in memory."""
        self.bytes = 0
        """Bytes of bodies in memory."""
        self._client_requests: Counter[str] = Counter()
        self._client_bytes: Counter[str] = Counter()
        self._reading: set[Reservation] = set()

    async def reserve(self, address: str) -> Reservation:
        """Wait until one more request is allowed.

        Args:
            address: The client's address.

        Raises:
            IntakeBusy: That took longer than the policy allows.
        """
        client = network_of(address)
        deadline = self.clock() + self._policy.wait_s
        while not self._accepts(client):
            if self.clock() >= deadline:
                raise IntakeBusy
            self._evict_slowest()
            await asyncio.sleep(_POLL_S)
        self.requests += 1
        self._client_requests[client] += 1
        return Reservation(self, client, self._policy)

    def add(self, client: str, size: int) -> None:
        """Count bytes of a client.

        Raises:
            IntakeBusy: The bytes exceed the budget of all clients, or the client's share of it.
        """
        if self.requests > 1 and self.bytes + size > self._max_bytes:
            self._evict_slowest()
            raise IntakeBusy
        if self._client_requests[client] > 1 and self._client_bytes[client] + size > self._max_client_bytes:
            raise IntakeBusy
        self.bytes += size
        self._client_bytes[client] += size

    def release(self, client: str, size: int) -> None:
        """Count a finished request and its bytes off."""
        self.requests -= 1
        self.bytes -= size
        self._client_requests[client] -= 1
        self._client_bytes[client] -= size
        if not self._client_requests[client]:
            del self._client_requests[client], self._client_bytes[client]

    def started(self, reservation: Reservation) -> None:
        """Note that a body is being read."""
        self._reading.add(reservation)

    def finished(self, reservation: Reservation) -> None:
        """Note that a body is not read any more."""
        self._reading.discard(reservation)

    def _evict_slowest(self) -> None:
        """Refuse the slowest of the bodies that have had time to arrive."""
        now = self.clock()
        slow = [one for one in self._reading if now - one.started_at >= self._policy.evict_after_s]
        if slow:
            min(slow, key=lambda one: one.size / (now - one.started_at)).evict()

    def _accepts(self, client: str) -> bool:
        return (
            self.requests < self._policy.max_in_flight
            and self._client_requests[client] < self._policy.max_client_in_flight
        )


class Reservation:
    """The part of the budget that one request uses. Release it in the end.

    Args:
        budget: The budget.
        client: The client's key.
        policy: The minimum rate.
    """

    def __init__(self, budget: IntakeBudget, client: str, policy: IntakePolicy) -> None:
        self._budget = budget
        self._client = client
        self._window_s = policy.rate_window_s
        self._window_bytes = policy.min_bytes_per_s * policy.rate_window_s
        self._window = (budget.clock(), 0)
        """When the current window of the minimum rate started, and the bytes that had arrived by then."""
        self.started_at = budget.clock()
        """When the request was accepted, monotonic seconds."""
        self.size = 0
        """Bytes that have arrived."""
        self._timeout: asyncio.Timeout | None = None
        self._evicted = False

    @asynccontextmanager
    async def reading(self, timeout: asyncio.Timeout) -> AsyncIterator[None]:
        """Let the budget end the reading of the body, by its timeout."""
        self._timeout = timeout
        self._budget.started(self)
        try:
            yield
        finally:
            self._budget.finished(self)
            self._timeout = None

    def evict(self) -> None:
        """End the reading of the body with a TimeoutError."""
        self._evicted = True
        if self._timeout is not None and not self._timeout.expired():
            self._timeout.reschedule(asyncio.get_running_loop().time())

    def arrived(self, count: int) -> None:
        """Count bytes of the body.

        Raises:
            IntakeBusy: They exceed the budget.
        """
        self._budget.add(self._client, count)
        self.size += count
        if self.size - self._window[1] >= self._window_bytes:
            self._window = (self._budget.clock(), self.size)

    @property
    def seconds_left(self) -> float:
        """Seconds until more bytes must have arrived to keep the minimum rate."""
        return 0.0 if self._evicted else max(0.0, self._window[0] + self._window_s - self._budget.clock())

    def release(self) -> None:
        """Return the used part to the budget."""
        self._budget.release(self._client, self.size)
        self.size = 0


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
