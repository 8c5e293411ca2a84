"""Which pages may have a browser change models."""

from __future__ import annotations

import pytest

from mms.errors import Forbidden
from mms.http.pages import PageRule
from mms.settings import Address

LOCAL = Address("http", "127.0.0.1", 8081)


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("https://evil.example", "127.0.0.1:8081"),
        # Its name leads here by now.
        ("http://evil.example:8081", "evil.example:8081"),
        ("null", "127.0.0.1:8081"),
        ("http://localhost:3000", "localhost:8081"),
        ("http://127.0.0.1:8081", None),
        ("http://[", "127.0.0.1:8081"),
        ("", "127.0.0.1:8081"),
    ],
)
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_a_page_of_another_site_may_not_change_models(
    method: str, origin: str, host: str | None
) -> None:
    with pytest.raises(Forbidden, match="may not manage models; cors_allowed_origin names"):
        PageRule(None, LOCAL).check(method, origin, host)
    with pytest.raises(Forbidden):
        PageRule("https://ui.example", LOCAL).check(method, origin, host)


@pytest.mark.parametrize(
    ("allowed", "origin", "host"),
    [
        (None, None, "127.0.0.1:8081"),
        (None, "http://127.0.0.1:8081", "127.0.0.1:8081"),
        (None, "http://LOCALHOST:8081", "localhost:8081"),
        (None, "http://[::1]:8081", "[::1]:8081"),
        (None, "http://10.1.2.3:8081", "10.1.2.3:8081"),
        ("https://ui.example", "https://ui.example", "127.0.0.1:8081"),
        ("*", "https://any.example", "127.0.0.1:8081"),
    ],
)
def test_programs_own_pages_and_named_pages_may(
    allowed: str | None, origin: str | None, host: str
) -> None:
    PageRule(allowed, LOCAL).check("POST", origin, host)


def test_the_name_that_management_listens_on_is_its_own() -> None:
    rule = PageRule(None, Address("http", "models.local", 8081))
    rule.check("POST", "http://models.local:8081", "models.local:8081")


def test_reading_is_left_to_the_browsers_rules() -> None:
    for method in ("GET", "HEAD", "OPTIONS"):
        PageRule(None, LOCAL).check(method, "https://evil.example", "127.0.0.1:8081")


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8081", "127.0.0.1.evil.example", "localhost.evil", "", "["],
)
def test_a_name_that_leads_here_reads_nothing_of_management_on_loopback(host: str) -> None:
    rule = PageRule(None, LOCAL, hosts=("models.example",))
    for method in ("GET", "HEAD"):
        with pytest.raises(Forbidden, match="management_hosts names those that are"):
            rule.check_host(method, host)


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1:8081", "localhost", "LOCALHOST:9", "localhost.", "app.localhost:8081"),
        *("[::1]:8081", "10.0.0.1", "Models.Example:80", None),
    ],
)
def test_own_names_addresses_and_names_of_the_setting_may_be_asked(host: str | None) -> None:
    PageRule(None, LOCAL, hosts=("models.example",)).check_host("GET", host)


def test_management_beyond_loopback_has_names_of_its_own() -> None:
    PageRule(None, Address("http", "0.0.0.0", 8081)).check_host("GET", "models.example")
