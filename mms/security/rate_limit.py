"""So many requests a second for each client."""

from __future__ import annotations

import ipaddress
import math

#: Clients that are remembered; addresses are chosen by those who come.
_MAX_CLIENTS = 50_000
#: Of sums of fractions of seconds.
_ROUNDING_S = 1e-6


class RateLimit:
    """The leaky bucket as a meter (ITU-T I.371): for each client one number, the time at which it owes nothing."""

    def __init__(self, per_s: float, burst: int = 0) -> None:
        """`burst`: requests that may come at once after a pause; 0: as many as may come in a second."""
        self._interval_s = 1.0 / per_s
        self._slack_s = (max(burst or math.floor(per_s), 1) - 1) * self._interval_s
        self._paid_until: dict[str, float] = {}

    def __repr__(self) -> str:
        return f"<RateLimit {1 / self._interval_s:g} a second, {len(self._paid_until)} clients>"

    def take(self, client: str, now: float) -> float:
        """Return 0 where a request may pass, and is counted; else the seconds after which one may."""
        paid_until = self._paid_until.get(client, now)
        if paid_until - now > self._slack_s + _ROUNDING_S:
            return paid_until - self._slack_s - now
        if len(self._paid_until) >= _MAX_CLIENTS and client not in self._paid_until:
            self._forget(now)
        self._paid_until[client] = max(paid_until, now) + self._interval_s
        return 0.0

    def _forget(self, now: float) -> None:
        """Make room: forget who owes nothing; where that is not enough, half of the others, the oldest ones."""
        owing = {client: until for client, until in self._paid_until.items() if until > now}
        if len(owing) > _MAX_CLIENTS // 2:
            owing = dict(list(owing.items())[-_MAX_CLIENTS // 2 :])
        self._paid_until = owing


def client_of(remote: str) -> str:
    """Return the client behind an address as logs name it, `/127.0.0.1:64003`.

    Of IPv6 the first 64 bits count, which is what one customer is given at least. All of a Unix socket are one.
    """
    host = remote.lstrip("/").rpartition(":")[0] or remote
    if not host.startswith("["):
        return host
    try:
        address = ipaddress.IPv6Address(host[1:-1].partition("%")[0])
    except ValueError:
        return host
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return f"{ipaddress.IPv6Address(int(address) >> 64 << 64)}/64"
