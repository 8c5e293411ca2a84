"""Requests to http and https addresses of a model's code: with retries, or by rules for what another has named.

Of the standard library alone, as it runs in workers.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, NamedTuple

from mms.limits.networks import PUBLIC_ONLY, Networks, is_public, url_forms
from mms.text.brief import brief
from mms.text.durations import bounded_s

#: No server is waited for longer, unless somebody says so.
TIMEOUT_S = 300.0
_MAX_PAUSE_S = 120.0
#: Of an answer that tells of an error.
_MAX_TEXT_CHARACTERS = 1000


class Answer(NamedTuple):
    """`headers`: by their names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


class HttpCallError(RuntimeError):
    """A server that answered with an error, or not at all."""


class NoConnection(OSError):
    """No answer came, and none will."""


def call(
    method: str,
    url: str,
    body: bytes | None,
    headers: dict[str, str],
    *,
    timeout_s: float | None = None,
    retries: int = 0,
    backoff_factor: float | None = None,
) -> Answer:
    """Return the answer of a server, of a status below 300.

    Answers of 500 and more and connections that fail are asked again, up to `retries` times, after
    `backoff_factor` x 0, 2, 4, 8 ... seconds (factor 1 by default). Certificates are verified. Raises ValueError for
    an address that is not http(s); TimeoutError; HttpCallError with the answer's status and text.
    """
    if not url.startswith(("http://", "https://")):
        raise ValueError(f"the address {brief(url)} must begin with http:// or https://")
    factor = 1.0 if backoff_factor is None else backoff_factor
    for attempt in range(max(0, retries) + 1):
        if attempt > 1:
            time.sleep(min(factor * 2 ** (attempt - 1), _MAX_PAUSE_S))
        is_last = attempt >= retries
        try:
            answer = call_once(method, url, body, headers, bounded_s(timeout_s or TIMEOUT_S))
        except NoConnection as error:
            if is_last:
                raise HttpCallError(f"{method} {url}: {error}") from error.__cause__
            continue
        if answer.status >= 500 and not is_last:
            continue
        # A redirection is here only where it must not be followed.
        if answer.status >= 300:
            text = answer.body.decode("utf-8", "replace")[:_MAX_TEXT_CHARACTERS]
            raise HttpCallError(f"{method} {url} was answered with {answer.status}: {text}")
        return answer
    raise AssertionError("the last attempt returns or raises")


def call_once(
    method: str,
    url: str,
    body: bytes | None,
    headers: dict[str, str],
    timeout_s: float,
    *,
    uses_proxies: bool = True,
) -> Answer:
    """Return the answer of a server, whatever its status. Raises TimeoutError, NoConnection."""
    import http.client
    import urllib.error
    import urllib.request

    request = urllib.request.Request(url, data=body, headers=headers, method=method)
    try:
        with opener(uses_proxies).open(request, timeout=timeout_s) as response:
            return Answer(response.status, _lowered(response.headers), response.read())
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code, _lowered(error.headers), error.read())
    except urllib.error.URLError as error:
        if isinstance(error.reason, TimeoutError):
            raise TimeoutError(f"{method} {url} timed out after {timeout_s:g} s") from error
        raise NoConnection(str(error.reason)) from error
    except TimeoutError as error:
        raise TimeoutError(f"{method} {url} timed out after {timeout_s:g} s") from error
    except (http.client.HTTPException, OSError) as error:
        raise NoConnection(f"{type(error).__name__} {error}".rstrip()) from error


@cache
def opener(uses_proxies: bool = True) -> Any:
    """An opener of urllib for http and https alone: an address from a request's body must not read files."""
    import urllib.request as of_urllib

    return _opener_with(
        of_urllib.ProxyHandler(None if uses_proxies else {}),
        of_urllib.HTTPHandler(),
        of_urllib.HTTPSHandler(),
        of_urllib.HTTPRedirectHandler(),
    )


class CheckedHttp:
    """Opens public http(s) addresses that a pattern matches, if there are any, and what networks allow besides."""

    def __init__(
        self,
        patterns: Sequence[str] | None,
        networks: Networks,
        refusal: Callable[[str], Exception],
        *,
        has_own_networks: bool = True,
        max_bytes: int | None = None,
    ) -> None:
        """`patterns`: one must match a whole address; None: all of http(s). `refusal`: what is raised for another.

        `networks`: where addresses may lead besides public ones; without `has_own_networks` no redirect leads from a
        public host to another kind. `max_bytes`: of one content; readers ask for it.
        """
        self.max_bytes = max_bytes
        self._patterns = None if patterns is None else [re.compile(p, re.I) for p in patterns]
        self._networks = networks
        self._refusal = refusal
        self._has_own_networks = has_own_networks

    def __repr__(self) -> str:
        return f"<CheckedHttp of {self._patterns}, {self._networks}>"

    @property
    def has_patterns(self) -> bool:
        return self._patterns is not None

    def check(self, url: str) -> None:
        """Raises the refusal for an address that no pattern matches."""
        if self._patterns is None:
            return
        forms = url_forms(url)
        if not any(all(p.fullmatch(form) for form in forms) for p in self._patterns):
            raise self._refusal(url)

    def open(self, request: Any, timeout: float) -> Any:
        """Return a response, as urllib's openers have it; `request`: an address or an urllib Request.

        Raises the refusal, and OSError, also for addresses that are not allowed.
        """
        self.check(request if isinstance(request, str) else request.full_url)
        return self._opener().open(request, timeout=timeout)

    def _opener(self) -> Any:
        """Without proxies: they would look names up, and nobody could check where."""
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

        return _opener_with(Http(), Https(), Redirects())


def _opener_with(*handlers: Any) -> Any:
    import urllib.request as of_urllib

    made = of_urllib.OpenerDirector()
    for handler in (
        *handlers,
        *(of_urllib.HTTPDefaultErrorHandler(), of_urllib.HTTPErrorProcessor()),
        of_urllib.UnknownHandler(),
    ):
        made.add_handler(handler)
    return made


def _made_by(kind: Any, connect: Any) -> Any:
    """Return a class of connections whose sockets `connect` makes. TLS still asks for the address' own name."""

    def make(*args: Any, **kwargs: Any) -> Any:
        made = kind(*args, **kwargs)
        made._create_connection = connect
        return made

    return make


def _lowered(headers: Any) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}
