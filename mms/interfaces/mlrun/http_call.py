"""Requests of steps to other servers, with retries."""

from __future__ import annotations

import time
from typing import Any, NamedTuple

from mms.text.brief import brief
from mms.text.durations import bounded_s

#: No server is waited for longer, unless the step says so.
TIMEOUT_S = 300.0
_MAX_PAUSE_S = 120.0
#: Of an answer that tells of an error.
_MAX_TEXT_CHARACTERS = 1000

_opener: Any = None


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes


class HttpCallError(RuntimeError):
    """A server that answered with an error, or not at all."""


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
            answer = _call_once(method, url, body, headers, bounded_s(timeout_s or TIMEOUT_S))
        except _NoConnection as error:
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


class _NoConnection(Exception):
    """No answer came, and none will."""


def _call_once(
    method: str, url: str, body: bytes | None, headers: dict[str, str], timeout_s: float
) -> Answer:
    import http.client
    import urllib.error
    import urllib.request

    request = urllib.request.Request(url, data=body, headers=headers, method=method)
    try:
        with the_opener().open(request, timeout=timeout_s) as response:
            return Answer(response.status, _lowered(response.headers), response.read())
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code, _lowered(error.headers), error.read())
    except urllib.error.URLError as error:
        if isinstance(error.reason, TimeoutError):
            raise TimeoutError(f"{method} {url} timed out after {timeout_s:g} s") from error
        raise _NoConnection(str(error.reason)) from error
    except TimeoutError as error:
        raise TimeoutError(f"{method} {url} timed out after {timeout_s:g} s") from error
    except (http.client.HTTPException, OSError) as error:
        raise _NoConnection(f"{type(error).__name__} {error}".rstrip()) from error


def the_opener() -> Any:
    """Opens http and https alone: an address from a request's body must not read files."""
    global _opener
    if _opener is None:
        import urllib.request as of_urllib

        opener = of_urllib.OpenerDirector()
        for handler in (
            of_urllib.ProxyHandler,
            of_urllib.HTTPHandler,
            of_urllib.HTTPSHandler,
            of_urllib.HTTPDefaultErrorHandler,
            of_urllib.HTTPRedirectHandler,
            of_urllib.HTTPErrorProcessor,
            of_urllib.UnknownHandler,
        ):
            opener.add_handler(handler())
        _opener = opener
    return _opener


def _lowered(headers: Any) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}
