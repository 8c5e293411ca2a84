"""Folders that are rooms, files of one subject, and names that say what they are of."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FILES = [
    file.relative_to(ROOT)
    for package in ("archiver", "mms")
    for file in sorted((ROOT / package).rglob("*.py"))
]
#: Of Python files in a folder, besides its `__init__.py`.
MAX_FILES = 16
MAX_LINES = 500
#: File -> how many lines it may have: each is one subject that would be read in two places otherwise.
LONG_FILES = {
    "mms/grpc/call.py": 580,
    "mms/grpc/connection.py": 660,  # one state machine
}
#: Words that say neither what a thing is nor what it does.
UNCLEAR = {
    *("additions", "arms", "asking", "brought", "kept", "making", "sight", "surroundings", "told"),
    *("common", "helper", "helpers", "manager", "misc", "tail", "util", "utils"),
}
#: Imported by these names: by handlers and tools of MMS, by components of Seldon, and by handlers of TorchServe.
FIXED_NAMES = (
    *("archiver/compat", "mms/utils"),
    *("mms/interfaces/oip/packages", "mms/interfaces/seldon/packages"),
    "mms/interfaces/torchserve/packages",
)


def test_a_folder_has_no_more_files_than_a_reader_keeps_in_mind() -> None:
    counts = Counter(str(file.parent) for file in FILES if file.name != "__init__.py")
    large = {folder: count for folder, count in counts.items() if count > MAX_FILES}
    assert large == {}, "make folders of the subjects in it"


def test_a_file_is_not_longer_than_one_subject_needs() -> None:
    lines = {str(file): len((ROOT / file).read_text("utf-8").splitlines()) for file in FILES}
    long = {name: n for name, n in lines.items() if n > LONG_FILES.get(name, MAX_LINES)}
    assert long == {}, "split by subject, or say here why it is one"


def test_every_exception_for_a_file_is_still_needed() -> None:
    lengths = {
        name: len((ROOT / name).read_text("utf-8").splitlines()) if (ROOT / name).exists() else 0
        for name in LONG_FILES
    }
    short = [name for name, length in lengths.items() if length <= MAX_LINES]
    assert short == [], "take them out of LONG_FILES"


def test_modules_have_names_that_say_what_is_in_them() -> None:
    unclear = {
        str(file)
        for file in FILES
        if UNCLEAR & {*file.with_suffix("").parts, *file.stem.split("_")}
        and not str(file).startswith(FIXED_NAMES)
    }
    assert unclear == set(), "name the thing itself"
