"""Whose key a request has, what it may do, and what is said of those that may not."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from mms.errors import Forbidden, TooManyRequests, Unauthorized
from mms.security import Guard, KeyFile, KeyRing, Role, new_key

ANY = tuple(Role)


class Clock:
    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class Keys:
    """A file with a key of each role."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self.file = KeyFile(path)
        self.clock = clock
        self.texts = {role: self.add(role.value, role) for role in Role}

    def add(self, name: str, *roles: Role, lasts_s: float | None = None) -> str:
        now = self.clock.now
        text, key = new_key(name, roles, now=now, expires_at=lasts_s and now + lasts_s)
        self.file.change(lambda known: [*known, key])
        return text

    def remove(self, name: str) -> None:
        self.file.change(lambda known: [key for key in known if key.name != name])


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def keys(tmp_path: Path, clock: Clock) -> Keys:
    return Keys(tmp_path / "keys", clock)


@pytest.fixture
def guard(keys: Keys, clock: Clock) -> Guard:
    return Guard(KeyRing(keys.file, clock), clock=clock)


def bearer(text: str) -> list[tuple[bytes, bytes]]:
    return [(b"Authorization", b"Bearer " + text.encode())]


def enter(guard: Guard, headers: list[tuple[bytes, bytes]], *roles: Role) -> None:
    guard.demand(guard.find(headers), roles, "/10.0.0.1:4711", "GET /x")


@pytest.mark.parametrize("held", Role)
@pytest.mark.parametrize("wanted", Role)
def test_a_key_may_do_what_its_role_says_and_nothing_else(
    guard: Guard, keys: Keys, held: Role, wanted: Role
) -> None:
    headers = bearer(keys.texts[held])
    if held is wanted:
        enter(guard, headers, wanted)
        return
    with pytest.raises(Forbidden, match=f"does not have the role {wanted.value}"):
        enter(guard, headers, wanted)


@pytest.mark.parametrize(
    "name_and_form",
    [
        (b"authorization", b"bearer %b"),
        (b"AUTHORIZATION", b"BEARER  %b "),
        (b"x-api-key", b"%b"),
        (b"X-Api-Key", b" %b"),
    ],
)
def test_a_key_may_come_in_either_header_in_any_spelling(
    guard: Guard, keys: Keys, name_and_form: tuple[bytes, bytes]
) -> None:
    name, form = name_and_form
    line = (name, form % keys.texts[Role.METRICS].encode())
    enter(guard, [(b"host", b"h"), line], Role.METRICS)
    assert guard.find([line]).credentials == {line}


def test_without_a_key_the_answer_says_how_to_send_one(guard: Guard) -> None:
    with pytest.raises(Unauthorized, match="Authorization: Bearer KEY, or x-api-key: KEY"):
        enter(guard, [], Role.METRICS)


def changed(text: str, at: int) -> str:
    return text[:at] + ("A" if text[at] != "A" else "B") + text[at + 1 :]


@pytest.mark.parametrize("form", ["last", "id", "short", "long", "empty", "digest", "basic"])
def test_what_is_almost_a_key_is_none(guard: Guard, keys: Keys, form: str) -> None:
    text = keys.texts[Role.INFERENCE]
    other = {
        "last": changed(text, len(text) - 1),
        "id": text.replace(text[4:12], "00000000"),
        "short": text[:-1],
        "long": text + "A",
        "empty": "",
        "digest": keys.file.read()[0].digest,
        "basic": text,
    }[form]
    scheme = b"Basic " if form == "basic" else b"Bearer "
    headers = [(b"authorization", scheme + other.encode())]
    assert guard.find(headers).key is None
    with pytest.raises(Unauthorized):
        enter(guard, headers, *ANY)


def test_a_valid_key_counts_beside_what_a_model_is_sent(guard: Guard, keys: Keys) -> None:
    meant_for_the_model = (b"Authorization", b"Bearer of-a-model")
    key = (b"x-api-key", keys.texts[Role.INFERENCE].encode())
    found = guard.find([meant_for_the_model, key])
    assert found.key is not None
    assert found.credentials == {key}


def test_not_more_than_a_few_keys_are_tried(guard: Guard, keys: Keys) -> None:
    wrong = [(b"x-api-key", b"%d" % number) for number in range(10)]
    assert guard.find([*wrong, *bearer(keys.texts[Role.METRICS])]).key is None


def test_an_open_role_needs_no_key(keys: Keys, clock: Clock) -> None:
    guard = Guard(KeyRing(keys.file, clock), [Role.INFERENCE], clock)
    enter(guard, [], Role.INFERENCE)
    enter(guard, [(b"authorization", b"Bearer of-a-model")], Role.INFERENCE)
    with pytest.raises(Unauthorized):
        enter(guard, [], Role.MANAGEMENT)


def test_a_revoked_key_is_none_after_the_next_look(guard: Guard, keys: Keys) -> None:
    told: list[bool] = []
    guard.on_change.append(lambda: told.append(True))
    guard.check()
    assert not told
    keys.remove("metrics")
    guard.check()
    assert told
    with pytest.raises(Unauthorized, match="not valid"):
        enter(guard, bearer(keys.texts[Role.METRICS]), Role.METRICS)
    enter(guard, bearer(keys.texts[Role.INFERENCE]), Role.INFERENCE)


def test_a_new_key_counts_after_the_next_look(guard: Guard, keys: Keys) -> None:
    text = keys.add("new", Role.METRICS)
    guard.check()
    enter(guard, bearer(text), Role.METRICS)


def test_a_key_ends_at_its_time_and_what_was_remembered_is_forgotten(
    keys: Keys, clock: Clock
) -> None:
    text = keys.add("short", Role.METRICS, lasts_s=60)
    guard = Guard(KeyRing(keys.file, clock), clock=clock)
    told: list[bool] = []
    guard.on_change.append(lambda: told.append(True))
    clock.now += 59
    guard.check()
    enter(guard, bearer(text), Role.METRICS)
    clock.now += 1
    with pytest.raises(Unauthorized):
        enter(guard, bearer(text), Role.METRICS)
    assert not told
    guard.check()
    assert told


@pytest.mark.parametrize("damage", ["text", "mode"])
def test_a_file_that_cannot_be_used_changes_nothing_and_is_told(
    guard: Guard, keys: Keys, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    if damage == "text":
        keys.file.path.write_text("half a li")
    else:
        keys.file.path.chmod(0o644)
    guard.check()
    enter(guard, bearer(keys.texts[Role.METRICS]), Role.METRICS)
    assert "stay in use" in caplog.text


def test_a_file_whose_rights_are_put_right_counts_again(guard: Guard, keys: Keys) -> None:
    text = keys.add("new", Role.METRICS)
    keys.file.path.chmod(0o644)
    guard.check()
    keys.file.path.chmod(0o600)
    guard.check()
    enter(guard, bearer(text), Role.METRICS)


def test_a_file_that_has_gone_revokes_all_keys(guard: Guard, keys: Keys) -> None:
    keys.file.path.unlink()
    guard.check()
    for role in Role:
        with pytest.raises(Unauthorized):
            enter(guard, bearer(keys.texts[role]), role)


def test_who_fails_again_and_again_is_told_to_wait_and_logged_no_more(
    guard: Guard, keys: Keys, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    wrong = bearer(changed(keys.texts[Role.METRICS], 40))
    for port in range(20):
        with pytest.raises(Unauthorized):
            guard.demand(guard.find(wrong), (Role.METRICS,), f"/10.0.0.1:{port}", "GET /x")
    logged = len(caplog.records)
    for _ in range(50):
        with pytest.raises(TooManyRequests) as caught:
            enter(guard, wrong, Role.METRICS)
        assert caught.value.retry_after_s == 3
    assert len(caplog.records) == logged == 20
    guard.check()
    assert "50 more requests were refused" in caplog.text
    # Whoever has a key shares the address with who has none, behind a proxy.
    enter(guard, bearer(keys.texts[Role.METRICS]), Role.METRICS)
    clock.now += 3
    with pytest.raises(Unauthorized):
        enter(guard, wrong, Role.METRICS)


def test_a_refusal_of_one_client_does_not_count_for_another(guard: Guard) -> None:
    for number in range(100):
        with pytest.raises(Unauthorized):
            guard.demand(guard.find([]), ANY, f"/10.0.0.{number}:4711", "GET /x")


def test_the_log_names_request_and_client_and_never_the_key(
    guard: Guard, keys: Keys, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    wrong = changed(keys.texts[Role.METRICS], 40)
    for text in (wrong, keys.texts[Role.INFERENCE]):
        with pytest.raises((Unauthorized, Forbidden)):
            enter(guard, bearer(text), Role.METRICS)
    guard.check()
    lines = [r.getMessage() for r in caplog.records if r.name == "mms.security"]
    assert lines[0] == "Refused GET /x of /10.0.0.1:4711: its key is not valid."
    assert "does not have the role metrics" in lines[1]
    for text in (wrong, *keys.texts.values()):
        assert text[13:] not in caplog.text
        assert text not in caplog.text


def test_the_time_of_a_comparison_does_not_hang_on_where_keys_differ(
    guard: Guard, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[tuple[str, str]] = []

    def compare(one: str, other: str) -> bool:
        compared.append((one, other))
        return one == other

    monkeypatch.setattr("mms.security.key_ring.hmac.compare_digest", compare)
    known = keys.texts[Role.METRICS]
    for text in (known, known.replace(known[4:12], "00000000")):
        guard.find(bearer(text))
    assert [len(one) == len(other) == 64 for one, other in compared] == [True, True]
