"""Workers that are other fronts' own: a front without a worker of a model borrows one of a front that has some.

The lender dials in as a worker does and speaks a worker's frames; what it is sent it gives to its own queue.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any, Protocol

from mms import faults
from mms.launch.connection import Link
from mms.launch.interface import LaunchFailed, LinkListener, WorkerLink, WorkerSpec


class Lenders(Protocol):
    """The other fronts of a cluster."""

    def lender_of(self, name: str) -> str | None:
        """Return the front that has workers of a model; None: none has but this one."""

    async def borrow(
        self, lender: str, name: str, version: str | None, assignment: Mapping[str, Any]
    ) -> str:
        """Have a front dial in as a worker. Returns why it does not; empty: it does. Raises OSError."""


class Dialled(Protocol):
    """Where workers dial in."""

    async def expect(self, spec: WorkerSpec, secret: str, link: Link) -> dict[str, Any]: ...
    def unexpect(self, secret: str) -> None: ...
    def watch_over(self, link: Link) -> None: ...


class PeerLauncher:
    """Owned by the event loop."""

    def __init__(self, lenders: Lenders, dialled: Dialled) -> None:
        self._lenders = lenders
        self._dialled = dialled

    def __repr__(self) -> str:
        return f"<PeerLauncher of {self._lenders!r}>"

    async def launch(
        self, spec: WorkerSpec, listener: LinkListener, timeout_s: float
    ) -> WorkerLink:
        """Have another front lend a worker, and return when it has dialled in. Raises LaunchFailed.

        The other front may still be loading the model, for which it has the time of a load.
        """
        lender = self._lenders.lender_of(spec.load.model_name)
        if lender is None:
            raise LaunchFailed("no other front of the cluster has workers of it")
        secret = secrets.token_hex(16)
        link = Link(spec.name, spec.load, listener, spec.max_frame_bytes)
        link.node = lender
        assignment = await self._dialled.expect(spec, secret, link)
        listener.on_waiting(f"waiting for {lender} to have loaded the model")
        try:
            refusal = await self._lenders.borrow(
                lender, spec.load.model_name, spec.load.model_version, assignment
            )
            listener.on_waiting("")
            if refusal:
                raise LaunchFailed(f"{lender}: {refusal}")
            await link.wait_connected(timeout_s)
        except BaseException as error:
            self._dialled.unexpect(secret)
            link.kill("not lent")
            if isinstance(error, OSError):
                raise LaunchFailed(str(error)) from None
            raise
        link.closed.add_done_callback(lambda _: self._forget(secret))
        link.loaded.add_done_callback(lambda _: self._watch(link))
        return link

    @faults.contained("peers")
    def _forget(self, secret: str) -> None:
        self._dialled.unexpect(secret)

    @faults.contained("peers")
    def _watch(self, link: Link) -> None:
        self._dialled.watch_over(link)
