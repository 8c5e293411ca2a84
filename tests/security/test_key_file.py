"""The file of keys: its form, its rights, changes of it."""

from __future__ import annotations

import json
import multiprocessing
import os
import stat
from pathlib import Path

import pytest

from mms.security import ApiKey, InvalidKeyFile, KeyFile, Role, new_key

NOW = 1_800_000_000.0


def add(file: KeyFile, name: str, *roles: Role, expires_at: float | None = None) -> str:
    text, key = new_key(name, roles or [Role.INFERENCE], now=NOW, expires_at=expires_at)
    file.change(lambda known: [*known, key])
    return text


@pytest.fixture
def file(tmp_path: Path) -> KeyFile:
    return KeyFile(tmp_path / "keys")


def test_what_is_written_is_read_again(file: KeyFile) -> None:
    add(file, "ci", Role.METRICS, Role.MANAGEMENT, expires_at=NOW + 60)
    add(file, "zoë")
    first, second = file.read()
    assert (first.name, first.roles) == ("ci", frozenset((Role.METRICS, Role.MANAGEMENT)))
    assert (first.created_at, first.expires_at) == (NOW, NOW + 60)
    assert (second.name, second.roles, second.expires_at) == (
        "zoë",
        frozenset((Role.INFERENCE,)),
        None,
    )


def test_the_file_holds_no_key(file: KeyFile) -> None:
    text = add(file, "ci")
    written = file.path.read_text()
    assert text not in written
    assert text[13:] not in written


def test_two_keys_have_nothing_in_common(file: KeyFile) -> None:
    first, second = add(file, "a"), add(file, "b")
    assert first.split("_")[1:] != second.split("_")[1:]
    assert len(first) == len("mms_") + 8 + 1 + 43


def test_the_file_is_its_owner_s_alone_whatever_the_umask(file: KeyFile) -> None:
    before = os.umask(0)
    try:
        add(file, "a")
        add(file, "b")
    finally:
        os.umask(before)
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
    assert os.listdir(file.path.parent) == ["keys"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o666])
def test_a_file_that_others_can_use_is_refused_and_the_remedy_named(
    file: KeyFile, mode: int
) -> None:
    add(file, "a")
    file.path.chmod(mode)
    with pytest.raises(InvalidKeyFile, match=f"mode {mode:04o}.*chmod 600"):
        file.read()


def test_a_link_stays_one_when_keys_change(file: KeyFile, tmp_path: Path) -> None:
    add(file, "a")
    link = KeyFile(tmp_path / "link")
    link.path.symlink_to(file.path)
    add(link, "b")
    assert link.path.is_symlink()
    assert [key.name for key in file.read()] == ["a", "b"]


def test_empty_lines_and_comments_are_passed_over(file: KeyFile) -> None:
    add(file, "a")
    file.path.write_text("# keys\n\n" + file.path.read_text())
    assert [key.name for key in file.read()] == ["a"]


GOOD = {
    "id": "0123abcd",
    "name": "ci",
    "roles": ["inference"],
    "sha256": "0" * 64,
    "created": "2026-01-31T09:00:00Z",
    "expires": None,
}


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("no json", "Expecting value"),
        ("[]", "it is not a JSON object"),
        ("[" * 100_000, "recursion"),
        (json.dumps(GOOD | {"id": "0123ABCD"}), "id should be"),
        (json.dumps(GOOD | {"id": 12345678}), "id should be"),
        (json.dumps(GOOD | {"name": "a\nb"}), "name should be"),
        (json.dumps(GOOD | {"name": ""}), "name should be"),
        (json.dumps(GOOD | {"sha256": "0" * 63}), "sha256 should be"),
        (json.dumps(GOOD | {"roles": []}), "roles should be"),
        (json.dumps(GOOD | {"roles": ["root"]}), "roles should be"),
        (json.dumps(GOOD | {"roles": "inference"}), "roles should be"),
        (json.dumps(GOOD | {"created": "yesterday"}), "a time should"),
        (json.dumps(GOOD | {"expires": 17}), "a time should"),
        (json.dumps(GOOD) + "\n" + json.dumps(GOOD), "repeats the id 0123abcd"),
    ],
)
def test_a_line_that_is_none_is_named(file: KeyFile, line: str, reason: str) -> None:
    file.path.touch(mode=0o600)
    file.path.write_text("# first\n" + line + "\n")
    with pytest.raises(InvalidKeyFile, match=rf"{file.path}:[23] .*{reason}"):
        file.read()


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(InvalidKeyFile, match="cannot be read: Is a directory"):
        KeyFile(tmp_path).read()


def test_a_change_that_fails_leaves_the_file_as_it_was(file: KeyFile) -> None:
    add(file, "a")
    before = file.path.read_bytes()

    def refuse(keys: list[ApiKey]) -> list[ApiKey]:
        raise LookupError("no")

    with pytest.raises(LookupError):
        file.change(refuse)
    assert file.path.read_bytes() == before
    assert os.listdir(file.path.parent) == ["keys"]


def _add_some(path: Path, letter: str) -> None:
    for number in range(5):
        add(KeyFile(path), f"{letter}{number}")


def test_changes_at_the_same_time_lose_none(file: KeyFile) -> None:
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_add_some, args=(file.path, letter)) for letter in "abc"]
    for process in processes:
        process.start()
    for process in processes:
        process.join(30)
    assert len(file.read()) == 15


def test_a_pipe_in_its_place_is_refused_and_not_waited_for(file: KeyFile) -> None:
    os.mkfifo(file.path, 0o600)
    with pytest.raises(InvalidKeyFile, match="keys is not a file"):
        file.read()
