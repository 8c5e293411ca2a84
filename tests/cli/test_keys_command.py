"""`mms keys`."""

from __future__ import annotations

import json
import re
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from mms.cli.mms import main
from mms.security import KeyFile, KeyRing, Role

Keys = Callable[..., Result]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "keys"


@pytest.fixture
def keys(file: Path) -> Keys:
    def run(command: str, *arguments: str) -> Result:
        return CliRunner().invoke(main, ["keys", command, *arguments, "--file", str(file)])

    return run


def test_a_key_is_printed_alone_and_is_valid(keys: Keys, file: Path) -> None:
    result = keys("create", "ci", "--role", "metrics", "--role", "management")
    assert result.exit_code == 0, result.output
    (text,) = result.output.splitlines()
    found = KeyRing(KeyFile(file)).find(text.encode())
    assert found is not None
    assert found.roles == frozenset((Role.METRICS, Role.MANAGEMENT))
    assert found.expires_at is None
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize(("text", "seconds"), [("90d", 7776000), ("12h", 43200), ("30m", 1800)])
def test_a_key_can_end(keys: Keys, file: Path, text: str, seconds: int) -> None:
    assert keys("create", "a", "--role", "inference", "--expires", text).exit_code == 0
    (key,) = KeyFile(file).read()
    assert key.expires_at is not None
    # In whole seconds, of the time that it was asked for.
    assert seconds - 30 < key.expires_at - key.created_at <= seconds


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("a",), "Missing option '--role'"),
        (("a", "--role", "root"), "'root' is not one of"),
        (("a", "--role", "metrics", "--expires", "soon"), "write it as 90d, 12h or 30m"),
        (("a", "--role", "metrics", "--expires", "0d"), "write it as 90d, 12h or 30m"),
        (("a\nb", "--role", "metrics"), "printable"),
    ],
)
def test_a_misuse_says_what_is_right_and_makes_no_file(
    keys: Keys, file: Path, arguments: tuple[str, ...], told: str
) -> None:
    result = keys("create", *arguments)
    assert result.exit_code == 2
    assert told in result.output
    assert not file.exists()


def test_a_name_stands_for_one_key(keys: Keys) -> None:
    assert keys("create", "a", "--role", "metrics").exit_code == 0
    result = keys("create", "a", "--role", "metrics")
    assert result.exit_code == 1
    assert "has a key for a" in result.output


def test_the_list_tells_all_but_the_key(keys: Keys) -> None:
    text = keys("create", "a", "--role", "metrics", "--role", "inference").output.strip()
    listed = keys("list").output
    assert re.search(r"^[0-9a-f]{8}  a +inference, metrics +\S+Z +never$", listed, re.MULTILINE)
    (described,) = json.loads(keys("list", "--json").output)
    assert described["roles"] == ["inference", "metrics"]
    assert described["isValid"] is True
    assert text[13:] not in listed + json.dumps(described)


@pytest.mark.parametrize("word", ["name", "id"])
def test_a_key_is_revoked_by_name_or_id(keys: Keys, file: Path, word: str) -> None:
    for name in ("a", "b"):
        keys("create", name, "--role", "metrics")
    first = KeyFile(file).read()[0]
    result = keys("revoke", getattr(first, word))
    assert result.output == f"Revoked a ({first.id}).\n"
    assert [key.name for key in KeyFile(file).read()] == ["b"]


def test_a_key_that_is_not_there_is_an_error(keys: Keys, file: Path) -> None:
    assert f"{file} is not there" in keys("revoke", "a").output
    keys("create", "a", "--role", "metrics")
    result = keys("revoke", "b")
    assert result.exit_code == 1
    assert "no key with the id or name b" in result.output


def test_without_a_file_the_configuration_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MMS_CONFIG_FILE", raising=False)
    run = CliRunner().invoke
    result = run(main, ["keys", "list"])
    assert result.exit_code == 2
    assert "--file" in result.output
    (tmp_path / "config.properties").write_text("keys_file=my-keys\n")
    assert run(main, ["keys", "create", "a", "--role", "metrics"]).exit_code == 0
    assert [key.name for key in KeyFile(tmp_path / "my-keys").read()] == ["a"]
