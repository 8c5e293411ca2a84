"""Sessions of pages: a cookie stands for a key, as long as both last."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from mms.security import SESSION_S, KeyFile, KeyRing, Role, Sessions, new_key
from mms.security.sessions import _MOST_OF_A_KEY


class Played:
    """A file with one key, its sessions, and a clock."""

    def __init__(self, path: Path) -> None:
        self.now = 1_800_000_000.0
        self.file = KeyFile(path)
        _, self.key = new_key("ops", [Role.MANAGEMENT], now=self.now, expires_at=self.now + 86400)
        self.file.change(lambda known: [self.key])
        self.ring = KeyRing(self.file, lambda: self.now)
        self.sessions = Sessions(self.ring, lambda: self.now)


@pytest.fixture
def played(tmp_path: Path) -> Played:
    return Played(tmp_path / "keys")


def test_a_session_is_found_by_its_cookie_alone(played: Played) -> None:
    cookie, session = played.sessions.open(played.key)
    assert played.sessions.find(cookie) == session
    for other in ("", cookie[:-1], cookie + "x", session.token, "\ud800"):
        assert played.sessions.find(other) is None


def test_a_session_ends_after_its_time(played: Played) -> None:
    cookie, _ = played.sessions.open(played.key)
    played.now += SESSION_S - 1
    assert played.sessions.find(cookie)
    played.now += 1
    assert played.sessions.find(cookie) is None


def test_a_session_ends_with_its_key(played: Played) -> None:
    cookie, _ = played.sessions.open(played.key)
    played.file.change(lambda known: [])
    played.ring.refresh()
    assert played.sessions.find(cookie) is None


def test_a_session_does_not_pass_to_another_key_of_the_same_id(played: Played) -> None:
    cookie, _ = played.sessions.open(played.key)
    _, other = new_key("other", [Role.MANAGEMENT], now=played.now)
    renamed = type(other)(played.key.id, "other", other.roles, other.digest, other.created_at)
    played.file.change(lambda known: [renamed])
    played.ring.refresh()
    assert played.sessions.find(cookie) is None


def test_a_key_that_has_lost_a_role_has_lost_it_in_its_sessions(played: Played) -> None:
    cookie, _ = played.sessions.open(played.key)
    played.file.change(lambda known: [replace(known[0], roles=frozenset([Role.METRICS]))])
    played.ring.refresh()
    session = played.sessions.find(cookie)
    assert session is not None and session.key.roles == {Role.METRICS}


def test_a_log_out_ends_a_session(played: Played) -> None:
    cookie, _ = played.sessions.open(played.key)
    played.sessions.close(cookie)
    assert played.sessions.find(cookie) is None


def test_a_key_has_so_many_sessions_and_one_more_ends_its_oldest(played: Played) -> None:
    cookies = [played.sessions.open(played.key)[0] for _ in range(_MOST_OF_A_KEY + 3)]
    assert len(played.sessions) == _MOST_OF_A_KEY
    assert [played.sessions.find(cookie) is not None for cookie in cookies[:4]] == [
        *(False, False, False, True)
    ]


def test_a_token_is_of_its_own_session(played: Played) -> None:
    (_, first), (_, second) = (played.sessions.open(played.key) for _ in range(2))
    assert first.has_token(first.token)
    assert (
        not first.has_token(second.token) and not first.has_token("") and not first.has_token("é")
    )
