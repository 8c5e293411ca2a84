"""Addresses of hosts as they were looked up and checked, for aiohttp to connect to."""

from __future__ import annotations

import asyncio
import socket

from aiohttp.abc import AbstractResolver, ResolveResult

from mms.limits.networks import AddressInfo, AddressRefused, Networks


class PinnedResolver(AbstractResolver):
    """Knows the hosts that were pinned, and no others. Owned by one event loop."""

    def __init__(self) -> None:
        self._infos: dict[tuple[str, int], list[AddressInfo]] = {}

    async def pin(self, host: str, port: int, networks: Networks) -> list[AddressInfo]:
        """Look up a host, unless that was done; returns its addresses in `networks`, which are now all it has.

        Raises AddressRefused where it has none there, other OSErrors where it has none at all.
        """
        known = self._infos.get((host, port))
        if known is None:
            known = await asyncio.to_thread(networks.resolve, host, port)
        allowed = [info for info in known if networks.allows(str(info[4][0]))]
        if not allowed:
            raise AddressRefused(f"{host} was allowed by another rule before")
        self._infos[host, port] = allowed
        return allowed

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        infos = self._infos.get((host, port))
        if infos is None:
            raise OSError(f"{host} was not looked up")
        return _results(host, port, infos, family)

    async def close(self) -> None:
        self._infos.clear()


class CheckedResolver(AbstractResolver):
    """Knows of each host the addresses that may be asked, as they are now: for connections that are made for long."""

    def __init__(self, networks: Networks) -> None:
        self._networks = networks

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        infos = await asyncio.to_thread(self._networks.resolve, host, port)
        return _results(host, port, infos, family)

    async def close(self) -> None:
        """Nothing is kept."""


def _results(
    host: str, port: int, infos: list[AddressInfo], family: socket.AddressFamily
) -> list[ResolveResult]:
    return [
        ResolveResult(
            hostname=host,
            host=str(address[0]),
            port=port,
            family=kind,
            proto=protocol,
            flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
        )
        for kind, _, protocol, _, address in infos
        if family in (socket.AF_UNSPEC, kind)
    ]
