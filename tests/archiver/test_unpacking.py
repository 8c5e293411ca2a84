from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest
from archive_building import (
    HANDLER,
    MANIFEST,
    manifest_json,
    tree,
    write_folder,
    write_tar,
    write_zip,
    write_zip_special,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from archiver import Archive, InvalidArchive, InvalidManifest, Limits, Manifest, pack

DATA = Path(__file__).parent / "data"
GOOD = [("service.py", HANDLER), ("MAR-INF/MANIFEST.json", manifest_json())]
HOSTILE_NAMES = ["../evil", "a/../../evil", "/evil", "C:/evil", "..\\evil", "a\0b", "a\nb"]


def extracted(path: Path, dest: Path) -> dict[str, bytes]:
    with Archive.open(path) as archive:
        assert archive.extract(dest) == dest
    return tree(dest)


def test_a_zip_archive_is_unpacked_with_its_manifest(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "m.mar", [*GOOD, ("dir/data.bin", b"\0\1\2")])
    with Archive.open(path) as archive:
        assert archive.kind == "mar"
        assert archive.manifest == Manifest(MANIFEST)
        assert [entry.name for entry in archive.entries] == [
            "MAR-INF/MANIFEST.json",
            "dir/data.bin",
            "service.py",
        ]
    files = extracted(path, tmp_path / "out")
    assert files["dir/data.bin"] == b"\0\1\2"
    assert files["service.py"] == HANDLER.encode()
    assert sorted(os.listdir(tmp_path)) == ["m.mar", "out"]


def test_what_an_archive_is_shows_in_the_file_and_not_in_its_name(tmp_path: Path) -> None:
    write_zip(tmp_path / "weights.tar.gz", GOOD)
    with Archive.open(tmp_path / "weights.tar.gz") as archive:
        assert archive.kind == "mar"


def test_a_tar_file_is_unpacked_from_its_top_folder(tmp_path: Path) -> None:
    entries = [(f"m/{name}", content.encode()) for name, content in GOOD]
    path = write_tar(tmp_path / "m.tar.gz", entries)
    with Archive.open(path) as archive:
        assert (archive.kind, archive.root) == ("tgz", "m")
        assert archive.manifest == Manifest(MANIFEST)
    assert extracted(path, tmp_path / "out").keys() == {"service.py", "MAR-INF/MANIFEST.json"}


def test_a_tar_file_without_a_top_folder_is_unpacked_as_it_is(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "m", dict(GOOD))
    path = tmp_path / "m.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        archive.add(folder, arcname=".")
    assert extracted(path, tmp_path / "out") == tree(folder)


def test_a_tar_file_without_a_manifest_keeps_its_top_folder(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "m.tar.gz", [("code/service.py", b"x")])
    with Archive.open(path) as archive:
        assert archive.manifest is None
    assert extracted(path, tmp_path / "out") == {"code/service.py": b"x"}


def test_a_folder_is_an_archive_without_being_walked(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "m", dict(GOOD))
    (folder / "link").symlink_to("service.py")
    with Archive.open(folder) as archive:
        assert archive.kind == "folder"
        assert archive.manifest == Manifest(MANIFEST)


def test_a_folder_is_copied_when_it_is_extracted(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "m", {**dict(GOOD), "a/b/c.txt": "c"})
    assert extracted(folder, tmp_path / "out") == tree(folder)


def test_a_link_in_a_folder_is_listed_and_not_extracted(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "m", dict(GOOD))
    (folder / "link").symlink_to("/etc/passwd")
    with Archive.open(folder) as archive:
        assert [entry.name for entry in archive.entries if entry.is_link] == ["link"]
        assert {entry.name: value for entry, value in archive.hashed_entries()}["link"] is None
        with pytest.raises(InvalidArchive, match="'link' is a symbolic link"):
            archive.extract(tmp_path / "out")
    assert os.listdir(tmp_path) == ["m"]


def test_an_archive_may_have_no_manifest(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "m.mar", [("service.py", HANDLER)])
    with Archive.open(path) as archive:
        assert archive.manifest is None


def test_a_manifest_that_cannot_be_read_does_not_keep_the_files_from_being_listed(
    tmp_path: Path,
) -> None:
    path = write_zip(tmp_path / "m.mar", [("MAR-INF/MANIFEST.json", "{"), ("a", "")])
    with Archive.open(path) as archive:
        assert len(archive.entries) == 2
        with pytest.raises(InvalidManifest, match=r"Failed to parse signature\.json\."):
            _ = archive.manifest


def test_the_sha256_of_an_entry_is_that_of_its_content(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "m.mar", [("a", b"abc"), ("b", b"")])
    expected = {"a": hashlib.sha256(b"abc").hexdigest(), "b": hashlib.sha256().hexdigest()}
    with Archive.open(path) as archive:
        assert {entry.name: entry.sha256() for entry in archive.entries} == expected
        assert {entry.name: value for entry, value in archive.hashed_entries()} == expected


LEGACY = json.dumps({"Model": {"Model-Name": "old", "Service": "service.py"}})


def test_a_top_level_manifest_makes_an_archive_legacy(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "m.model", [("MANIFEST.json", LEGACY), ("service.py", "x")])
    with Archive.open(path) as archive:
        assert archive.is_legacy
        assert archive.manifest is not None
        assert archive.manifest.model_name == "old"


def test_a_1_0_manifest_counts_before_a_legacy_one(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "m.mar", [("MANIFEST.json", LEGACY), *GOOD])
    with Archive.open(path) as archive:
        assert not archive.is_legacy


def test_a_legacy_manifest_in_a_first_level_folder_moves_its_siblings_to_the_top(
    tmp_path: Path,
) -> None:
    entries = [
        ("inner/MANIFEST.json", LEGACY),
        ("inner/service.py", "x"),
        ("inner/deep/data", "d"),
        ("other/notes", "n"),
        ("readme", "r"),
    ]
    path = write_zip(tmp_path / "m.model", entries)
    with Archive.open(path) as archive:
        assert archive.is_legacy
        assert archive.root == "inner"
        assert archive.read("service.py", max_bytes=10) == b"x"
    assert extracted(path, tmp_path / "out").keys() == {
        "MANIFEST.json",
        "service.py",
        "deep/data",
        "other/notes",
        "readme",
    }


def test_a_sibling_that_would_overwrite_a_file_at_the_top_is_refused(tmp_path: Path) -> None:
    entries = [("inner/MANIFEST.json", LEGACY), ("inner/service.py", "x"), ("service.py", "y")]
    with (
        Archive.open(write_zip(tmp_path / "m.model", entries)) as archive,
        pytest.raises(InvalidArchive, match=r"two entries named 'service\.py'"),
    ):
        archive.extract(tmp_path / "out")


def test_two_legacy_manifests_are_refused_by_name(tmp_path: Path) -> None:
    entries = [("a/MANIFEST.json", LEGACY), ("b/MANIFEST.json", LEGACY)]
    with pytest.raises(InvalidArchive, match=r"a/MANIFEST\.json, b/MANIFEST\.json"):
        Archive.open(write_zip(tmp_path / "m.model", entries))


def test_another_tools_file_named_manifest_does_not_make_an_archive_legacy(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "m.mar", [("bundle/MANIFEST.json", '{"files": []}'), ("a", "")])
    with Archive.open(path) as archive:
        assert not archive.is_legacy
        assert archive.manifest is None


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_a_zip_entry_that_could_leave_the_target_is_refused(tmp_path: Path, name: str) -> None:
    path = write_zip(tmp_path / "m.mar", [*GOOD, (name, "evil")])
    with pytest.raises(InvalidArchive) as caught:
        Archive.open(path)
    assert repr(name) in str(caught.value)
    assert os.listdir(tmp_path) == ["m.mar"]


@pytest.mark.parametrize("name", [name for name in HOSTILE_NAMES if "\0" not in name])
def test_a_tar_entry_that_could_leave_the_target_is_refused(tmp_path: Path, name: str) -> None:
    path = write_tar(tmp_path / "m.tar.gz", [(name, b"evil")])
    with pytest.raises(InvalidArchive) as caught:
        Archive.open(path)
    assert repr(name) in str(caught.value)


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR, stat.S_IFSOCK])
def test_a_zip_entry_that_is_no_file_is_refused_by_name(tmp_path: Path, kind: int) -> None:
    path = write_zip_special(tmp_path / "m.mar", "special", kind | 0o777)
    with pytest.raises(InvalidArchive, match="'special' is a"):
        Archive.open(path)


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE]
)
def test_a_tar_entry_that_is_no_file_is_refused_by_name(tmp_path: Path, kind: bytes) -> None:
    info = tarfile.TarInfo("special")
    info.type = kind
    info.linkname = "/etc/passwd"
    with pytest.raises(InvalidArchive, match="'special' is a"):
        Archive.open(write_tar(tmp_path / "m.tar.gz", [(info, b"")]))


def test_two_entries_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidArchive, match="two entries named 'a'"):
        Archive.open(write_zip(tmp_path / "m.mar", [("a", "1"), ("./a", "2")]))
    with pytest.raises(InvalidArchive, match="two entries named 'a'"):
        Archive.open(write_tar(tmp_path / "m.tar.gz", [("a", b"1"), ("a", b"2")]))


def test_a_file_below_a_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidArchive, match="'a' both as a file and as a folder"):
        Archive.open(write_zip(tmp_path / "m.mar", [("a", "1"), ("a/b", "2")]))


@pytest.mark.parametrize(
    ("names", "first", "second"),
    [
        (("A.png", "a.png"), "'A.png'", "'a.png'"),
        (
            ("MAR-INF/MANIFEST.json", "mar-inf/manifest.json"),
            "'MAR-INF/MANIFEST.json'",
            "'mar-inf/",
        ),
        (("Dir/x", "dir/y"), "'Dir'", "'dir'"),
        (("\u00e9", "e\u0301"), "'\u00e9'", "'e\u0301'"),
    ],
)
@pytest.mark.parametrize("kind", ["mar", "tgz"])
def test_names_that_differ_in_case_alone_are_refused_wherever_they_are_unpacked(
    tmp_path: Path, kind: str, names: tuple[str, str], first: str, second: str
) -> None:
    path = tmp_path / "m"
    if kind == "mar":
        write_zip(path, [(name, "{}") for name in names])
    else:
        write_tar(path, [(name, b"{}") for name in names])
    with Archive.open(path) as archive, pytest.raises(InvalidArchive) as caught:
        archive.extract(tmp_path / "out")
    assert f"{first} and {second}" in str(caught.value)
    assert "ignore case" in str(caught.value)
    assert [item.name for item in tmp_path.iterdir()] == ["m"]


def test_more_entries_than_allowed_are_refused(tmp_path: Path) -> None:
    entries = [(f"f{index}", "") for index in range(5)]
    limits = Limits(max_entries=4)
    with pytest.raises(InvalidArchive, match="more than 4 entries .*'f4'"):
        Archive.open(write_zip(tmp_path / "m.mar", entries), limits=limits)
    tar_entries = [(name, b"") for name, _ in entries]
    with pytest.raises(InvalidArchive, match="more than 4 entries"):
        Archive.open(write_tar(tmp_path / "m.tar.gz", tar_entries), limits=limits)


def test_more_unpacked_bytes_than_allowed_are_refused_with_the_entry(tmp_path: Path) -> None:
    limits = Limits(max_total_bytes=1000)
    with pytest.raises(InvalidArchive, match="more than 1000 bytes .*'b'"):
        Archive.open(
            write_zip(tmp_path / "m.mar", [("a", "x" * 600), ("b", "x" * 600)]), limits=limits
        )
    with pytest.raises(InvalidArchive, match="more than 1000 bytes .*'b'"):
        path = write_tar(tmp_path / "m.tar.gz", [("a", b"x" * 600), ("b", b"x" * 600)])
        Archive.open(path, limits=limits)


def test_a_decompression_bomb_is_refused_with_the_entry(tmp_path: Path) -> None:
    limits = Limits(max_ratio=50, ratio_applies_above_bytes=10_000)
    content = b"\0" * 1_000_000
    for path in (
        write_zip(tmp_path / "m.mar", [("zeros", content)]),
        write_tar(tmp_path / "m.tar.gz", [("zeros", content)]),
    ):
        with pytest.raises(InvalidArchive, match="more than 50 times its own size .*'zeros'"):
            Archive.open(path, limits=limits)
        with Archive.open(path) as archive:
            assert archive.entries[0].size_bytes == len(content)


def test_limits_may_be_tightened_for_one_extraction(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "m.mar", [("a", "x" * 600)])
    with (
        Archive.open(path) as archive,
        pytest.raises(InvalidArchive, match="more than 100 bytes"),
    ):
        archive.extract(tmp_path / "out", Limits(max_total_bytes=100))
    assert not (tmp_path / "out").exists()


def test_a_tar_header_that_announces_gigabytes_is_not_read_into_memory(tmp_path: Path) -> None:
    info = tarfile.TarInfo("././@PaxHeader")
    info.type = tarfile.XHDTYPE
    info.size = 1024**3
    path = tmp_path / "m.tar.gz"
    path.write_bytes(gzip.compress(info.tobuf(tarfile.USTAR_FORMAT) + b"\0" * 1024))
    with pytest.raises(InvalidArchive, match="header of"):
        Archive.open(path)


@pytest.mark.parametrize("content", [b"", b"plain text", b"\x1f\x8b broken", b"PK\x03\x04 broken"])
def test_what_is_no_archive_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "m.mar"
    path.write_bytes(content)
    with pytest.raises(InvalidArchive, match=r"m\.mar"):
        Archive.open(path)


def test_a_pipe_is_no_archive(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "m.mar")
    with pytest.raises(InvalidArchive, match=r"m\.mar is neither a file nor a folder"):
        Archive.open(tmp_path / "m.mar")


def test_an_encrypted_entry_is_refused_by_name(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "m.mar", [("secret", "x")])
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1  # general purpose flag of the central directory
    path.write_bytes(data)
    with pytest.raises(InvalidArchive, match="'secret' is encrypted"):
        Archive.open(path)


@pytest.mark.parametrize("cut", [0.3, 0.6, 0.9])
@pytest.mark.parametrize("name", ["mms-1.0.3.mar", "mms-1.0.3.tar.gz"])
def test_an_archive_cut_short_is_refused(tmp_path: Path, name: str, cut: float) -> None:
    data = (DATA / name).read_bytes()
    path = tmp_path / name
    path.write_bytes(data[: int(len(data) * cut)])
    with pytest.raises(InvalidArchive, match="damaged or incomplete"):
        Archive.open(path)


def test_damage_inside_an_entry_is_found_with_its_name_and_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "m.mar"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("first", "good")
        archive.writestr("second", "content that changes")
    path.write_bytes(path.read_bytes().replace(b"content that changes", b"CONTENT that changes"))
    with Archive.open(path) as opened, pytest.raises(InvalidArchive, match="'second'.*damaged"):
        opened.extract(tmp_path / "out")
    assert os.listdir(tmp_path) == ["m.mar"]


def test_damage_between_the_entries_of_a_tar_file_is_not_taken_for_its_end(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name in ("first", "second"):
            info = tarfile.TarInfo(name)
            info.size = 3
            archive.addfile(info, io.BytesIO(b"abc"))
    data = bytearray(buffer.getvalue())
    data[1024 + 150] ^= 0xFF  # in the second header's checksum
    path = tmp_path / "m.tar.gz"
    path.write_bytes(gzip.compress(bytes(data)))
    with pytest.raises(InvalidArchive, match="damaged"):
        Archive.open(path)


def test_extraction_into_something_that_is_there_is_refused(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "m.mar", GOOD)
    (tmp_path / "out").mkdir()
    with Archive.open(path) as archive, pytest.raises(FileExistsError):
        archive.extract(tmp_path / "out")


def test_an_extraction_that_is_stopped_leaves_nothing(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "m.mar", [("a", "1"), ("b", "2")])

    def stop(done_bytes: int, total_bytes: int, name: str) -> None:
        if name == "b":
            raise KeyboardInterrupt

    with Archive.open(path) as archive, pytest.raises(KeyboardInterrupt):
        archive.extract(tmp_path / "out", progress=stop)
    assert os.listdir(tmp_path) == ["m.mar"]


def test_special_permission_bits_are_not_unpacked(tmp_path: Path) -> None:
    path = write_zip_special(tmp_path / "m.mar", "tool", stat.S_IFREG | 0o6777)
    extracted(path, tmp_path / "out")
    mode = (tmp_path / "out" / "tool").stat().st_mode
    assert mode & 0o7022 == 0
    assert mode & stat.S_IXUSR


def test_an_entry_larger_than_asked_for_is_not_read(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "m.mar", [("a", "x" * 11)])
    with Archive.open(path) as archive:
        with pytest.raises(InvalidArchive, match="a has 11 bytes, 10 is the limit"):
            archive.read("a", max_bytes=10)
        with pytest.raises(KeyError):
            archive.read("none", max_bytes=10)


@pytest.mark.parametrize(
    ("name", "version"),
    [
        ("mms-1.0.3.mar", None),
        ("mms-1.0.3.tar.gz", None),
        ("torchserve-0.12.0.mar", "1.10"),
        ("torchserve-0.12.0.tar.gz", "1.10"),
    ],
)
def test_archives_of_the_other_archivers_open(
    tmp_path: Path, name: str, version: str | None
) -> None:
    with Archive.open(DATA / name) as archive:
        manifest = archive.manifest
        assert manifest is not None
        manifest.validate()
        assert (manifest.model_name, manifest.model_version) == ("sample", version)
        archive.extract(tmp_path / "out")
    assert (tmp_path / "out" / "service.py").read_text().startswith("def handle(data, context):")


file_names = st.lists(
    st.text(st.characters(categories=["L", "N"], include_characters="_-. "), min_size=1, max_size=8)
    .filter(lambda part: not part.startswith(".") and part.strip(" ."))
    .filter(lambda part: not part.endswith((".pyc", ".mar", ".DS_Store")) and part != "MAR-INF"),
    min_size=1,
    max_size=3,
).map("/".join)


@settings(max_examples=40)
@given(files=st.dictionaries(file_names, st.binary(max_size=64), max_size=6))
def test_what_is_packed_unpacks_to_the_same_files(
    tmp_path_factory: pytest.TempPathFactory, files: dict[str, bytes]
) -> None:
    folder = tmp_path_factory.mktemp("packed")
    model = folder / "model"
    model.mkdir()
    for name, content in files.items():
        try:
            (model / name).parent.mkdir(parents=True, exist_ok=True)
            (model / name).write_bytes(content)
        except OSError:  # a file where another name needs a folder
            continue
    expected = tree(model)
    for archive_format in ("default", "tgz"):
        path = pack(
            model,
            model_name="m",
            handler="s",
            export_path=folder,
            archive_format=archive_format,  # type: ignore[arg-type]
        )
        unpacked = extracted(path, folder / archive_format)
        assert unpacked.pop("MAR-INF/MANIFEST.json")
        assert unpacked == expected


@settings(max_examples=60)
@given(
    name=st.lists(
        st.sampled_from(["..", ".", "a", "b", "/", "c:", "\\", "\0", "d" * 300]), max_size=5
    ).map("/".join)
    | st.text(max_size=20)
)
def test_no_entry_name_writes_outside_the_target(
    tmp_path_factory: pytest.TempPathFactory, name: str
) -> None:
    folder = tmp_path_factory.mktemp("hostile")
    try:
        path = write_zip(folder / "m.mar", [(name, "evil")])
    except (UnicodeError, ValueError):  # zipfile itself cannot write the name
        return
    inside = folder / "inside"
    inside.mkdir()
    try:
        with Archive.open(path) as archive:
            archive.extract(inside / "out")
    except InvalidArchive:
        assert os.listdir(inside) == []
    else:
        assert os.listdir(inside) == ["out"]
    assert sorted(os.listdir(folder)) == ["inside", "m.mar"]
