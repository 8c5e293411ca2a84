"""Reading http(s) addresses that another chose: by rules for the address, for where it leads, and for redirects."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mms.interfaces.mlrun.errors import MLRunInvalidArgumentError
from mms.limits.networks import PUBLIC_ONLY, Networks, is_public, url_forms

if TYPE_CHECKING:
    from mms.wire import UrlRules


class CheckedHttp:
    """Opens public http(s) addresses that a pattern matches, if there are any, and what networks allow besides."""

    def __init__(
        self,
        patterns: Sequence[str] | None,
        networks: Networks,
        *,
        named_by: str,
        has_own_networks: bool = True,
        max_bytes: int | None = None,
    ) -> None:
        """`patterns`: one must match a whole address; None: all of http(s). `named_by`: what messages call the address.

        `networks`: where addresses may lead besides public ones; without `has_own_networks` no redirect leads from a
        public host to another kind. `max_bytes`: of one content; readers ask for it.
        """
        self.max_bytes = max_bytes
        self._patterns = None if patterns is None else [re.compile(p, re.I) for p in patterns]
        self._networks = networks
        self._named_by = named_by
        self._has_own_networks = has_own_networks

    @classmethod
    def of_rules(cls, rules: UrlRules) -> CheckedHttp:
        return cls(
            rules.allowed_urls,
            Networks.parse(rules.allowed_private_addresses),
            named_by="url",
            has_own_networks=rules.has_own_networks,
            max_bytes=rules.max_bytes,
        )

    def __repr__(self) -> str:
        return f"<CheckedHttp of {self._patterns}, {self._networks}>"

    @property
    def has_patterns(self) -> bool:
        return self._patterns is not None

    def check(self, url: str) -> None:
        """Raises MLRunInvalidArgumentError for an address that no pattern matches."""
        if self._patterns is None:
            return
        forms = url_forms(url)
        if not any(all(p.fullmatch(form) for form in forms) for p in self._patterns):
            raise MLRunInvalidArgumentError(
                f"{self._named_by} {url} does not match any allowed URL(s)"
            )

    def open(self, request: Any, timeout: float) -> Any:
        """Return a response, as urllib's openers have it; `request`: an address or an urllib Request.

        Raises MLRunInvalidArgumentError, and OSError, also for addresses that are not allowed.
        """
        self.check(request if isinstance(request, str) else request.full_url)
        return self._opener().open(request, timeout=timeout)

    def _opener(self) -> Any:
        """Of http and https alone, without proxies: they would look names up, and nobody could check where."""
        import http.client
        import urllib.request as of_urllib

        check, own = self.check, self._has_own_networks
        networks = self._networks

        def connect(place: tuple[str, int], timeout_s: float | None, _: Any = None) -> Any:
            nonlocal networks
            made = networks.connect(place[0], place[1], timeout_s)
            if not own and is_public(made.getpeername()[0]):
                networks = PUBLIC_ONLY
            return made

        class Http(of_urllib.HTTPHandler):
            def http_open(self, req: Any) -> Any:
                return self.do_open(_made_by(http.client.HTTPConnection, connect), req)

        class Https(of_urllib.HTTPSHandler):
            def https_open(self, req: Any) -> Any:
                return self.do_open(_made_by(http.client.HTTPSConnection, connect), req)

        class Redirects(of_urllib.HTTPRedirectHandler):
            def redirect_request(
                self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str
            ) -> Any:
                check(newurl)
                if newurl.partition("://")[0].lower() != req.type:
                    return None
                return super().redirect_request(req, fp, code, msg, headers, newurl)

        opener = of_urllib.OpenerDirector()
        for handler in (
            *(Http(), Https(), Redirects()),
            *(of_urllib.HTTPDefaultErrorHandler(), of_urllib.HTTPErrorProcessor()),
            of_urllib.UnknownHandler(),
        ):
            opener.add_handler(handler)
        return opener


def _made_by(kind: Any, connect: Any) -> Any:
    """Return a class of connections whose sockets `connect` makes. TLS still asks for the address' own name."""

    def make(*args: Any, **kwargs: Any) -> Any:
        made = kind(*args, **kwargs)
        made._create_connection = connect
        return made

    return make
