"""The HTTP front: its listeners, and what they serve."""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from mms import faults
from mms.http.listener import Listener
from mms.http.listener_apis import Apis, HttpApis
from mms.interfaces import INTERFACES, Interface
from mms.limits.connections import CATCHING_UP_TURNS, ConnectionLimit, catch_up
from mms.limits.inflating import Inflater
from mms.limits.memory import MemoryLimit
from mms.observe import events
from mms.security import Access
from mms.sockets.listeners import OpenListener, listen, remove_sockets
from mms.sockets.tls import Certificates

if TYPE_CHECKING:
    from mms.observe import FrontCount, Recorder
    from mms.serving import ModelHost
    from mms.settings import Address, Settings

logger = logging.getLogger("mms.http")

#: At the end of the server, a connection without a request for so long is closed at once, in seconds.
_QUIET_S = 0.25


class _Place(NamedTuple):
    """An address, and what is served there. `owner`: the interface that has it for its own."""

    address: Address
    apis: Apis
    owner: Interface | None = None


#: Opens a listener whose connections front processes hold.
ListenByFronts = Callable[
    [
        "Address",
        Callable[[], asyncio.Protocol],
        "ssl.SSLContext | None",
        ConnectionLimit,
    ],
    Awaitable[OpenListener],
]


class HttpFront:
    """Owner of the listeners and their connections."""

    def __init__(
        self,
        settings: Settings,
        host: ModelHost,
        recorder: Recorder,
        scrape: Callable[[str | None], Awaitable[tuple[str, bytes]]],
        *,
        worker_count: int,
        access: Access | None = None,
        memory: MemoryLimit | None = None,
        front_counts: Callable[[], Sequence[FrontCount]] = list,
    ) -> None:
        """`scrape`: makes the text of `/metrics` for an `Accept` header. `access` None: all may do everything.
        `memory`: what it shares with other fronts. `front_counts`: of the processes that hold clients' connections.

        Raises ConfigurationError for bad plugins.
        """
        self._settings = settings
        self._access = access
        self.memory = MemoryLimit.of_settings(settings) if memory is None else memory
        self.inflater = Inflater(settings.max_request_ratio)
        self._apis = HttpApis(
            settings,
            host,
            recorder,
            scrape,
            worker_count=worker_count,
            access=access,
            memory=self.memory,
            inflater=self.inflater,
            front_counts=front_counts,
        )
        self.certificates = Certificates(settings)
        self.limit = ConnectionLimit(settings.max_connections)
        self.limit.add(lambda: self.connection_count)
        #: Until when connections that were used just before the stop are waited for; of `time.monotonic()`.
        self._leaves_at = 0.0
        self._listeners: list[Listener] = []
        self._servers: list[OpenListener] = []

    def __repr__(self) -> str:
        return (
            f"<HttpFront {self._settings.inference_address}, {self._settings.management_address}>"
        )

    @property
    def connection_count(self) -> int:
        """Open connections of all listeners."""
        return sum(listener.connection_count for listener in self._listeners)

    # Its life

    async def start(self, listen_by_fronts: ListenByFronts | None = None) -> None:
        """Listen. `listen_by_fronts`: for clients who ask models, where processes of their own hold their connections.

        Raises BindFailed and ConfigurationError.
        """
        addresses = self._addresses()
        context = None
        if any(address.is_tls for address, *_ in addresses):
            context = self.certificates.context()
        for address, apis, owner in addresses:
            # Operators and probes get in while clients have taken all connections.
            has_spare = not apis & (Apis.INFERENCE | Apis.INTERFACE)
            is_full = partial(self.limit.is_full, has_spare=has_spare)
            api = self._apis.interfaces[owner.name] if owner is not None else None
            listener = Listener(self._apis, apis, is_full, api)
            self._listeners.append(listener)
            await listener.start()
            make, limit = listener.make_protocol, self.limit
            if has_spare or listen_by_fronts is None:
                server = await listen(address, make, context, limit, has_spare=has_spare)
            else:
                server = await listen_by_fronts(address, make, context, limit)
            self._servers.append(server)
            for each, name in (
                (Apis.INFERENCE, "Inference"),
                (Apis.MANAGEMENT, "Management"),
                (Apis.METRICS, "Metrics"),
            ):
                if each in apis:
                    events.listener_bound(name, str(address))
            if owner is not None and apis == Apis.INTERFACE:
                events.listener_bound(owner.title, str(address))
        self._apis.host.registry.on_change = self._forget_routes
        if self._access is not None and self._access.guard is not None:
            self._access.guard.on_change.append(self._forget_routes)

    def _addresses(self) -> list[_Place]:
        """Return where to listen for what. One address is one listener."""
        settings = self._settings
        wanted = [
            _Place(settings.inference_address, Apis.INFERENCE),
            _Place(settings.management_address, Apis.MANAGEMENT),
        ]
        for interface in INTERFACES:
            for setting, apis, owner in (
                (interface.address_setting, Apis.INTERFACE, interface),
                (interface.metrics_address_setting, Apis.METRICS, None),
            ):
                address = settings.get(setting) if setting else None
                if address is not None:
                    wanted.append(_Place(address, apis, owner))
        places: dict[tuple[str, int, str], _Place] = {}
        for place in wanted:
            known = places.get(place.address.endpoint)
            if known is not None:
                owner = known.owner or place.owner
                place = _Place(known.address, known.apis | place.apis, owner)
            places[place.address.endpoint] = place
        return list(places.values())

    def _forget_routes(self) -> None:
        """Which model is at the root may be different now, or whose key is valid."""
        for listener in self._listeners:
            if listener.lane is not None:
                listener.lane.forget_routes()

    async def stop_listening(self) -> None:
        """Refuse new connections, and end those without a request, so that their clients go elsewhere.

        A request may be on its way on a connection that was opened or used just now: it gets a moment to come, and its
        answer.
        """
        await asyncio.gather(*(server.take_backlog() for server in self._servers))
        self._apis.live_streams.end()
        await catch_up()
        for server in self._servers:
            server.close()
        if self._servers:
            remove_sockets(*(address for address, *_ in self._addresses()))
        self._servers = []
        now = time.monotonic()
        self._leave(now - _QUIET_S)
        if self.connection_count:
            self._leaves_at = now + _QUIET_S
            asyncio.get_running_loop().call_later(_QUIET_S, self._leave_caught_up)

    def _leave_caught_up(self, turns: int = CATCHING_UP_TURNS) -> None:
        if turns:
            asyncio.get_running_loop().call_soon(self._leave_caught_up, turns - 1)
        else:
            self._leave(float("inf"))

    def _leave(self, quiet_since: float) -> None:
        for listener in self._listeners:
            with faults.contained("shutdown"):
                listener.web.connections.leave(quiet_since)
                if listener.lane is not None:
                    listener.lane.leave(quiet_since)

    async def drain(self, timeout_s: float) -> None:
        """Close connections without a request, and wait for the answers of the others to be sent."""
        moment_s = min(self._leaves_at - time.monotonic(), timeout_s)
        if moment_s > 0:
            await asyncio.sleep(moment_s)
        await catch_up()
        for listener in self._listeners:
            if listener.lane is not None:
                listener.lane.close_idle()
        await asyncio.gather(*(listener.web.drain(timeout_s) for listener in self._listeners))
        waits = [
            asyncio.ensure_future(listener.lane.is_empty.wait())
            for listener in self._listeners
            if listener.lane is not None
        ]
        if waits:
            await asyncio.wait(waits, timeout=timeout_s)
            for wait in waits:
                wait.cancel()

    async def close(self) -> None:
        """End all connections."""
        for listener in self._listeners:
            if listener.lane is not None:
                listener.lane.close()
            await listener.web.close()
        self.inflater.close()
