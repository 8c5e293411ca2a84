"""The code that a function's document brings is written where workers read it."""

from __future__ import annotations

from pathlib import Path

import pytest

from mms.interfaces.mlrun.front.specs import _place_code
from mms.interfaces.mlrun.spec.serving_spec import ServingSpec
from mms.repository import FetchedArchive


def place(folder: Path, code: str) -> Path:
    spec = ServingSpec({}, filename="model.py", code=code)
    _place_code(spec, FetchedArchive(folder, None, is_in_place=False, sha256=None))
    return folder / "model.py"


def test_code_that_is_there_already_is_left_alone_whatever_its_lines_end_with(
    tmp_path: Path,
) -> None:
    code = "x = 1\r\ny = 2\r\n"
    file = place(tmp_path, code)
    assert file.read_bytes() == code.encode()
    before = file.stat().st_ino
    assert place(tmp_path, code).stat().st_ino == before


def test_a_file_that_is_no_text_gives_way_to_the_code(tmp_path: Path) -> None:
    (tmp_path / "model.py").write_bytes(b"\xff\xfe")
    assert place(tmp_path, "x = 1\n").read_bytes() == b"x = 1\n"


def test_code_takes_the_place_of_a_file_at_once_and_others_may_read_it(tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text("old = True\n")
    with open(tmp_path / "model.py") as reader:
        file = place(tmp_path, "x = 1\n")
        assert reader.read() == "old = True\n"
    assert file.stat().st_mode & 0o777 == 0o644
    assert list(tmp_path.iterdir()) == [file]


def test_code_that_cannot_be_put_in_place_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "model.py").mkdir()
    with pytest.raises(OSError, match=r"model\.py"):
        place(tmp_path, "x = 1\n")
    assert [each.name for each in tmp_path.iterdir()] == ["model.py"]
