"""Where models may come from: urls by their text, hosts by their addresses."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from mms.errors import BadRequest, ConfigurationError
from mms.limits.networks import ANY, LOOPBACK, PUBLIC_ONLY, Networks, url_forms
from mms.text.brief import brief
from mms.wire import UrlRules

if TYPE_CHECKING:
    from mms.settings import Settings


@dataclass(frozen=True, slots=True)
class AllowedUrls:
    """The urls that may be named outside the model store. None: all of them."""

    patterns: tuple[re.Pattern[str], ...] | None = None
    #: Why there is none, where nobody has said so.
    reason: str = ""

    @classmethod
    def compile(cls, patterns: Sequence[str] | None) -> AllowedUrls:
        """Compile regular expressions that must match a whole url, in either case. Raises ConfigurationError."""
        if patterns is None:
            return cls(None)
        compiled = []
        for pattern in patterns:
            try:
                compiled.append(re.compile(pattern, re.IGNORECASE))
            except re.error as error:
                raise ConfigurationError(
                    f"allowed_urls: {brief(pattern)} is not a regular expression: {error}"
                ) from None
        return cls(tuple(compiled))

    def allows(self, url: str) -> bool:
        """Return whether one pattern matches the url as written and as servers read it: without user and dots."""
        if self.patterns is None:
            return True
        forms = url_forms(url)
        return any(all(pattern.fullmatch(form) for form in forms) for pattern in self.patterns)

    def check(self, url: str) -> None:
        """Raise BadRequest for a url that no pattern matches."""
        if not self.allows(url):
            raise BadRequest(f"Given URL {url} does not match any allowed URL(s){self.reason}")


@dataclass(frozen=True, slots=True)
class Sources:
    """What may be fetched: urls that `urls` allows, from hosts whose addresses are public or in `networks`."""

    urls: AllowedUrls = field(default_factory=AllowedUrls)
    networks: Networks = LOOPBACK
    #: Whether somebody has set `networks`; else no redirect leads from a public address to another kind.
    has_own_networks: bool = False
    #: Of what whoever starts the server names: its host may have any address, and links may lead anywhere.
    is_operator: bool = False

    @classmethod
    def of(cls, patterns: Sequence[str] | None, networks: Networks | None = None) -> Sources:
        """Make the sources of these texts; without `networks` loopback may be asked. Raises ConfigurationError."""
        urls = AllowedUrls.compile(patterns)
        return cls(urls, LOOPBACK if networks is None else networks, networks is not None)

    @classmethod
    def of_settings(cls, settings: Settings, *, is_local: bool) -> Sources:
        """Make those of the settings. `is_local`: only this machine reaches management. Raises ConfigurationError."""
        networks: Networks | None = settings.allowed_private_addresses
        urls = AllowedUrls.compile(settings.allowed_urls)
        if settings.allowed_urls is None and not is_local:
            urls = AllowedUrls(
                (),
                f": no url is allowed while management listens on {settings.management_address}, "
                "unless the setting allowed_urls names it.",
            )
        usual = LOOPBACK if is_local else PUBLIC_ONLY
        return cls(urls, usual if networks is None else networks, networks is not None)

    @property
    def of_operator(self) -> Sources:
        """For what whoever starts the server names. A list that they have made holds for it, too."""
        urls = AllowedUrls() if self.urls.reason else self.urls
        return replace(self, urls=urls, is_operator=True)

    @property
    def endpoint_networks(self) -> Networks:
        """Return the networks for hosts of endpoints, which are called again and again and redirect nobody."""
        return ANY if self.is_operator else self.networks

    def networks_for(self, is_named: bool, was_public: bool) -> Networks:
        """Return the networks for a url's host, or for one that a redirect leads to from a host that `was_public`."""
        if is_named:
            return self.endpoint_networks
        return PUBLIC_ONLY if was_public and not self.has_own_networks else self.networks

    def for_workers(self, max_bytes: int) -> UrlRules:
        """Return the same for a worker that reads what a client has named. `max_bytes`: of one file."""
        patterns = self.urls.patterns
        return UrlRules(
            allowed_urls=None if patterns is None else [found.pattern for found in patterns],
            allowed_private_addresses=str(self.networks),
            has_own_networks=self.has_own_networks,
            max_bytes=max_bytes,
        )

    def check_path(self, path: Path) -> None:
        """Raise BadRequest for a path outside of what models may name that `urls` does not allow."""
        self.urls.check(file_url(path))

    def names_path(self, path: Path) -> bool:
        """Return whether a pattern was made that matches a path."""
        return self.urls.patterns is not None and self.urls.allows(file_url(path))


def file_url(path: Path) -> str:
    return f"file://{path}"
