"""What a request may have read by naming it: with `data_url` it is anybody who may ask that chooses the address."""

from __future__ import annotations

import os
import time
import urllib.error
from collections.abc import Sequence
from typing import TYPE_CHECKING

from mms.fetch.http_client import CheckedHttp
from mms.interfaces.mlrun.errors import MLRunInvalidArgumentError
from mms.interfaces.mlrun.files.datastore import get_dataitem
from mms.interfaces.mlrun.files.stores import is_local, not_allowed, path_of, scheme_of
from mms.limits.networks import Networks

if TYPE_CHECKING:
    from mms.wire import UrlRules

_CHUNK_BYTES = 1024 * 1024
_HTTP = ("http", "https")
_TIMEOUT_S = 30.0


class DataUrls:
    """Reads public http(s) addresses, and what patterns and networks allow besides.

    It sends no credentials of this machine: the address is another's choice.
    """

    def __init__(
        self, patterns: Sequence[str] | None, networks: Networks, max_bytes: int | None = None
    ) -> None:
        """`patterns`: one must match a whole address, `file://` and the path for a file; None: all of http(s).

        `networks`: where addresses may lead besides public ones.
        """
        self._http = CheckedHttp(patterns, networks, lambda url: not_allowed("data_url", url))
        self._max_bytes = max_bytes

    @classmethod
    def of_rules(cls, rules: UrlRules) -> DataUrls:
        networks = Networks.parse(rules.allowed_private_addresses)
        return cls(rules.allowed_urls, networks, rules.max_bytes)

    def __repr__(self) -> str:
        return f"<DataUrls of {self._http!r}>"

    def read(self, url: str) -> bytes:
        """Return the content. Raises MLRunInvalidArgumentError where that is not allowed, and OSError."""
        if scheme_of(url) in _HTTP:
            return self._read_http(url)
        return self._read_other(url)

    def _read_other(self, url: str) -> bytes:
        if not self._http.has_patterns or "::" in url:
            raise MLRunInvalidArgumentError(
                f"data_url {url} is not http(s), so that allowed_urls has to allow it"
            )
        if not is_local(url):
            self._http.check(url)
        else:
            path = os.path.abspath(path_of(url))
            self._http.check(f"file://{path}")
            self._http.check(f"file://{os.path.realpath(path)}")
        item = get_dataitem(url)
        content: bytes = item.get() if self._max_bytes is None else item.get(self._max_bytes + 1)
        self._check_size(url, len(content))
        return content

    def _check_size(self, url: str, size_bytes: int) -> None:
        if self._max_bytes is not None and size_bytes > self._max_bytes:
            raise MLRunInvalidArgumentError(
                f"data_url {url} has more than {self._max_bytes} bytes, max_request_size"
            )

    def _read_http(self, url: str) -> bytes:
        ends_at = time.monotonic() + _TIMEOUT_S
        content = bytearray()
        try:
            with self._http.open(url, _TIMEOUT_S) as response:
                while chunk := response.read1(_CHUNK_BYTES):
                    content += chunk
                    self._check_size(url, len(content))
                    if time.monotonic() > ends_at:
                        raise TimeoutError(f"{url} was not read in {_TIMEOUT_S:g} s")
        except urllib.error.HTTPError as error:
            with error:
                raise OSError(f"{url} cannot be read: {error.code} {error.reason}") from error
        except urllib.error.URLError as error:
            raise OSError(f"{url} cannot be read: {error.reason}") from error
        return bytes(content)
