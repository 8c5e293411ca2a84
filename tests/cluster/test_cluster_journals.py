"""Where the owner of a cluster keeps what is registered."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mms.cluster.journal import JournalError, journal_at


@pytest.fixture(params=["file", "memory"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "file":
        return str(tmp_path / "new" / "cluster.json")
    return f"memory://{tmp_path.name}/cluster.json"


def test_what_was_written_is_read(place: str) -> None:
    journal = journal_at(place)
    assert journal.read() is None
    for revision in (1, 2):
        journal.write({"revision": revision, "names": {}})
    found = journal_at(place).read()
    assert found is not None
    assert found["revision"] == 2


def test_a_file_of_a_journal_is_its_owner_s_alone(tmp_path: Path) -> None:
    journal_at(str(tmp_path / "cluster.json")).write({"revision": 1})
    assert (tmp_path / "cluster.json").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "is no state file of a cluster"),
        ("[]", "is no state file of a cluster"),
        ('{"format": "multi-model-server state"}', "is no state file of a cluster"),
        (
            json.dumps({"format": "multi-model-server cluster", "format_version": 9}),
            "another version of the server",
        ),
    ],
)
def test_what_is_no_journal_is_refused_and_not_overwritten(
    tmp_path: Path, text: str, words: str
) -> None:
    path = tmp_path / "cluster.json"
    path.write_text(text)
    with pytest.raises(JournalError, match=words):
        journal_at(str(path)).read()
    assert path.read_text() == text


def test_a_journal_that_cannot_be_written_says_which_and_why(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(JournalError, match="taken cannot be written: Is a directory"):
        journal_at(str(tmp_path / "taken")).write({"revision": 1})


def test_a_url_of_no_known_store_is_told(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="nowhere://x cannot be read"):
        journal_at("nowhere://x").read()
