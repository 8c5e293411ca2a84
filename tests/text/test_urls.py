"""Addresses as people may see them."""

from __future__ import annotations

import pytest

from mms.text.urls import without_secrets


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://user:pass@host:8/a/m.mar?sig=x#f", "https://host:8/a/m.mar"),
        ("https://user:pass@[host/a", "https://..."),
        ("/var/log/r.jsonl", "/var/log/r.jsonl"),
    ],
)
def test_an_address_is_shown_without_user_password_and_query(url: str, shown: str) -> None:
    assert without_secrets(url) == shown
