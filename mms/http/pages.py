"""Pages that a browser shows: one of any site can have it ask this machine, where no key and no network keep it off."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from urllib.parse import urlsplit

from mms.errors import Forbidden
from mms.limits.networks import is_address
from mms.settings import Address

_HARMLESS: Final = ("GET", "HEAD", "OPTIONS")
_LOCAL: Final = "localhost"


class PageRule:
    """Lets pages change models that come from this server itself, or that the operator has named.

    Browsers send `Origin` with each request that changes something, for forms and scripts of other sites, too. Pages
    that only read are kept off by browsers, unless the name of their site leads here by now: then it stands in `Host`.
    """

    def __init__(
        self, allowed_origin: str | None, address: Address, *, hosts: Sequence[str] | None = None
    ) -> None:
        """`allowed_origin`: as `Access-Control-Allow-Origin` has it; `address`: where management listens. `hosts`: the
        names by which it may be asked besides its own and addresses; None: all names."""
        self._allowed = allowed_origin
        self._own_host = address.host.lower()
        self._hosts = None if hosts is None else {host.lower() for host in hosts}

    def __repr__(self) -> str:
        return f"<PageRule of {self._own_host}, {self._allowed}>"

    def check(self, method: str, origin: str | None, host: str | None) -> None:
        """`origin`, `host`: the request's headers. Raises Forbidden."""
        if origin is None or method in _HARMLESS or self._allowed in ("*", origin):
            return
        if not self._is_own(origin, host):
            raise Forbidden(
                f"Pages of {origin[:80]} may not manage models; cors_allowed_origin names those that may."
            )

    def check_host(self, method: str, host: str | None) -> None:
        """Raises Forbidden where somebody else's name leads here and what it has is read by it."""
        if self._hosts is None or host is None or method not in ("GET", "HEAD"):
            return
        try:
            name = (urlsplit(f"//{host.strip()}").hostname or "").lower().removesuffix(".")
        except ValueError:
            name = ""
        if name in (_LOCAL, self._own_host) or name.endswith(f".{_LOCAL}") or name in self._hosts:
            return
        if not is_address(name):
            raise Forbidden(
                f"Host {host[:80]} is not a name of this server's management; management_hosts names those that are."
            )

    def _is_own(self, origin: str, host: str | None) -> bool:
        try:
            parts = urlsplit(origin)
            name = (parts.hostname or "").lower()
        except ValueError:
            return False
        if not name or host is None or parts.netloc.lower() != host.strip().lower():
            return False
        # Whoever owns another name can have it lead here.
        return name == _LOCAL or name == self._own_host or is_address(name)
