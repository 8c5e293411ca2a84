"""Signing archives and telling whether a signature holds."""

from __future__ import annotations

import os
import shutil
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from archive_building import HANDLER, manifest_json, tree, write_folder, write_tar, write_zip

from archiver import Archive, InvalidArchive, InvalidKey, InvalidSignature, TrustedKeys, pack
from archiver.cli import main
from archiver.signing.keys import generate_key, load_private_key, load_public_key
from archiver.signing.sign import sign
from archiver.signing.signature import SIGNATURE_NAME, Signature
from archiver.verify import verify

FORMS = ["default", "tgz", "no-archive"]


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the pairs `ours` and `theirs`."""
    folder = tmp_path_factory.mktemp("keys")
    for name in ("ours", "theirs"):
        generate_key(folder / name)
    return folder


@pytest.fixture
def ours(keys: Path) -> TrustedKeys:
    return TrustedKeys.load([keys / "ours.pub"])


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Path]:
    def make(archive_format: str, extra: dict[str, str | bytes] | None = None) -> Path:
        model = write_folder(
            tmp_path / "source", {"service.py": HANDLER, "d/weights": b"1234", **(extra or {})}
        )
        return pack(
            model,
            model_name="m",
            handler="service:handle",
            export_path=tmp_path,
            archive_format=archive_format,  # type: ignore[arg-type]
            force=True,
        )

    return make


def _sign(path: Path, keys: Path, name: str = "ours", *, is_detached: bool = False) -> None:
    sign(path, load_private_key(keys / f"{name}.key"), is_detached=is_detached)


def _extract(path: Path, trusted: TrustedKeys, dest: Path) -> dict[str, bytes]:
    with Archive.open(path) as archive:
        archive.extract(dest, trusted=trusted)
    return tree(dest)


def _change(path: Path, entry: str, content: bytes | None) -> None:
    """Another content for an entry of an archive of any form, or with None no such entry."""
    if path.is_dir():
        files = tree(path)
        shutil.rmtree(path)
    else:
        with Archive.open(path) as archive:
            files = {e.name: archive.read(e.name, max_bytes=2**20) for e in archive.entries}
    files.pop(entry, None)
    if content is not None:
        files[entry] = content
    if path.suffix == ".mar":
        write_zip(path, list(files.items()))
    elif path.suffix == ".gz":
        write_tar(path, [(f"m/{name}", data) for name, data in files.items()])
    else:
        write_folder(path, dict(files))


@pytest.mark.parametrize("is_detached", [False, True], ids=["inside", "detached"])
@pytest.mark.parametrize("form", FORMS)
def test_a_signed_archive_unpacks_to_what_was_signed(
    tmp_path: Path,
    keys: Path,
    ours: TrustedKeys,
    make: Callable[..., Path],
    form: str,
    is_detached: bool,
) -> None:
    path = make(form)
    before = path.read_bytes() if path.is_file() else None
    _sign(path, keys, is_detached=is_detached)
    assert (path.with_name(path.name + ".sig")).exists() == is_detached
    if before is not None:
        assert (path.read_bytes() == before) == is_detached
    files = _extract(path, ours, tmp_path / "out")
    assert files.pop(SIGNATURE_NAME, None) is None or not is_detached
    assert files.keys() == {"service.py", "d/weights", "MAR-INF/MANIFEST.json"}
    assert not [finding for finding in verify(path, trusted=ours) if finding.level == "error"]


@pytest.mark.parametrize("is_detached", [False, True], ids=["inside", "detached"])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("entry", "content", "said"),
    [
        ("d/weights", b"1235", "entry 'd/weights' is not what was signed"),
        ("MAR-INF/MANIFEST.json", b"{}", "entry 'MAR-INF/MANIFEST.json' is not what was"),
        ("sitecustomize.py", b"evil", r"'sitecustomize\.py' is not among .*signed files"),
        ("service.py", None, r"'service\.py' is signed but missing"),
    ],
)
def test_a_change_after_signing_is_refused_by_name_and_leaves_nothing(
    tmp_path: Path,
    keys: Path,
    ours: TrustedKeys,
    make: Callable[..., Path],
    form: str,
    is_detached: bool,
    entry: str,
    content: bytes | None,
    said: str,
) -> None:
    path = make(form)
    _sign(path, keys, is_detached=is_detached)
    _change(path, entry, content)
    before = sorted(os.listdir(tmp_path))
    with pytest.raises(InvalidSignature, match=said):
        _extract(path, ours, tmp_path / "out")
    assert sorted(os.listdir(tmp_path)) == before
    messages = [f.message for f in verify(path, trusted=ours) if f.level == "error"]
    assert len(messages) >= 1
    assert entry in messages[0]
    # Without keys the files are compared with the list all the same.
    assert entry in next(f.message for f in verify(path) if f.level == "error")


def test_an_archive_that_nobody_or_another_has_signed_is_refused(
    tmp_path: Path, keys: Path, ours: TrustedKeys, make: Callable[..., Path]
) -> None:
    path = make("default")
    with pytest.raises(InvalidSignature, match="The archive is not signed"):
        _extract(path, ours, tmp_path / "out")
    _sign(path, keys, "theirs")
    with pytest.raises(InvalidSignature, match="signed by [0-9a-f]{32}, none of the trusted keys"):
        _extract(path, ours, tmp_path / "out")
    # One of several is enough.
    _sign(path, keys, "ours")
    _extract(path, ours, tmp_path / "out")
    _extract(path, TrustedKeys.load([keys / "theirs.pub"]), tmp_path / "out2")


def test_the_list_cannot_be_changed_to_fit_other_files(
    tmp_path: Path, keys: Path, ours: TrustedKeys, make: Callable[..., Path]
) -> None:
    path = make("default")
    _sign(path, keys)
    with Archive.open(path) as archive:
        (signature,) = archive.signatures()
    forged = Signature({**signature.entries, "d/weights": "0" * 64}, signature.signers)
    _change(path, SIGNATURE_NAME, forged.to_bytes())
    with pytest.raises(InvalidSignature, match="the list of its files was changed"):
        _extract(path, ours, tmp_path / "out")


def test_a_signature_in_an_archive_and_one_beside_it_are_both_asked(
    tmp_path: Path, keys: Path, ours: TrustedKeys, make: Callable[..., Path]
) -> None:
    path = make("default")
    _sign(path, keys, "theirs")
    _sign(path, keys, "ours", is_detached=True)
    _extract(path, ours, tmp_path / "out")


def test_a_signature_holds_for_the_same_files_in_another_form(
    tmp_path: Path, keys: Path, ours: TrustedKeys, make: Callable[..., Path]
) -> None:
    path = make("default")
    _sign(path, keys)
    folder = tmp_path / "folder"
    with Archive.open(path) as archive:
        archive.extract(folder)
    _extract(folder, ours, tmp_path / "out")


def test_what_changes_while_it_is_unpacked_is_refused(
    tmp_path: Path, keys: Path, ours: TrustedKeys, make: Callable[..., Path]
) -> None:
    path = make("no-archive")
    _sign(path, keys)

    def swap(done_bytes: int, total_bytes: int, name: str) -> None:
        (path / "d" / "weights").write_text("evil")

    with (
        Archive.open(path) as archive,
        pytest.raises(InvalidSignature, match="'d/weights' is not what was signed"),
    ):
        archive.extract(tmp_path / "out", trusted=ours, progress=swap)
    assert not (tmp_path / "out").exists()


def test_signing_twice_gives_the_same_bytes_and_keeps_the_other_signer(
    keys: Path, make: Callable[..., Path]
) -> None:
    for form in ("default", "tgz"):
        path = make(form)
        _sign(path, keys)
        once = path.read_bytes()
        _sign(path, keys)
        assert path.read_bytes() == once
        _sign(path, keys, "theirs")
        with Archive.open(path) as archive:
            (signature,) = archive.signatures()
        assert len(signature.signers) == 2
        assert len(signature.entries) == 3


def test_signing_changed_files_again_drops_those_who_signed_others(
    keys: Path, make: Callable[..., Path]
) -> None:
    path = make("default")
    _sign(path, keys, "theirs")
    _change(path, "d/weights", b"new")
    _sign(path, keys, "ours")
    with Archive.open(path) as archive:
        (signature,) = archive.signatures()
    assert len(signature.signers) == 1
    assert verify(path, trusted=TrustedKeys.load([keys / "theirs.pub"]))[0].level == "error"


def test_a_signed_archive_is_an_ordinary_one_to_other_readers(
    keys: Path, make: Callable[..., Path]
) -> None:
    path = make("default")
    _sign(path, keys)
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert archive.namelist()[-1] == SIGNATURE_NAME
    path = make("tgz")
    _sign(path, keys)
    with tarfile.open(path) as opened:
        assert opened.getnames()[-1] == f"m/{SIGNATURE_NAME}"


def test_a_folder_with_a_link_cannot_be_signed(keys: Path, make: Callable[..., Path]) -> None:
    path = make("no-archive")
    (path / "link").symlink_to("service.py")
    with pytest.raises(InvalidArchive, match="'link' is a link"):
        _sign(path, keys)


def test_a_failure_to_sign_leaves_the_archive_as_it_was(
    tmp_path: Path, keys: Path, make: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make("default")
    before = path.read_bytes()

    def fail(*_: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr("archiver.signing.sign._copy_zip", fail)
    with pytest.raises(OSError, match="No space"):
        _sign(path, keys)
    assert path.read_bytes() == before
    assert sorted(os.listdir(tmp_path)) == ["m.mar", "source"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"", "does not begin"),
        (b"{}", "does not begin"),
        (b"\xff", "is not UTF-8"),
        (b"model-archive-signature 1\n" + b"0" * 64 + b"  a", "is cut short"),
        (b"model-archive-signature 1\nrsa x y\n", "wrong in line 2"),
        (b"model-archive-signature 1\n" + b"0" * 63 + b"  a\n", "wrong in line 2"),
        (
            b"model-archive-signature 1\n" + b"0" * 64 + b"  a\n" + b"1" * 64 + b"  a\n",
            "wrong in line 3",
        ),
        (
            b"model-archive-signature 1\n" + b"0" * 64 + b"  b\n" + b"1" * 64 + b"  a\n",
            "wrong in line 3",
        ),
        (b"model-archive-signature 1\n\n", "wrong in line 2"),
        (b"x" * 100_000, "has 100000 bytes"),
    ],
)
def test_a_signature_of_another_form_is_refused(
    tmp_path: Path, ours: TrustedKeys, text: bytes, said: str
) -> None:
    entries: list[tuple[str, str | bytes]] = [("MAR-INF/MANIFEST.json", manifest_json()), ("a", "")]
    path = write_zip(tmp_path / "m.mar", [*entries, (SIGNATURE_NAME, text)])
    with pytest.raises(InvalidArchive, match=said):
        _extract(path, ours, tmp_path / "out")


def test_keys_are_made_once_and_the_secret_one_is_its_owners(tmp_path: Path) -> None:
    private, public, identity = generate_key(tmp_path / "team.models")
    assert (private.name, public.name) == ("team.models.key", "team.models.pub")
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    assert identity in TrustedKeys.load([public]).keys
    with pytest.raises(FileExistsError, match="never replaced"):
        generate_key(tmp_path / "team.models")
    public.unlink()
    with pytest.raises(FileExistsError, match=r"team\.models\.key exists already"):
        generate_key(tmp_path / "team.models")


def test_a_passphrase_protects_a_key(tmp_path: Path) -> None:
    private, _, _ = generate_key(tmp_path / "k", b"open sesame")
    load_private_key(private, b"open sesame")
    with pytest.raises(InvalidKey, match="needs its passphrase"):
        load_private_key(private)
    with pytest.raises(InvalidKey, match="passphrase is wrong"):
        load_private_key(private, b"guess")


def test_a_file_that_is_no_key_is_named(tmp_path: Path, keys: Path) -> None:
    other = tmp_path / "other.pub"
    with pytest.raises(InvalidKey, match=r"other\.pub cannot be read: No such file"):
        load_public_key(other)
    other.write_text("hello")
    with pytest.raises(InvalidKey, match=r"other\.pub is not a public key"):
        TrustedKeys.load([tmp_path])
    with pytest.raises(InvalidKey, match="is not a private key"):
        load_private_key(keys / "ours.pub")
    with pytest.raises(InvalidKey, match=r"ours\.key is a private key; give the public key"):
        load_public_key(keys / "ours.key")


def test_the_commands_make_keys_sign_and_verify(
    tmp_path: Path,
    make: Callable[..., Path],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = make("default")
    monkeypatch.chdir(tmp_path)
    assert main(["keygen", "k"]) == 0
    assert main(["keygen", "other"]) == 0
    assert main(["verify", "m.mar", "--key", "k.pub"]) == 1
    assert "ERROR - The archive is not signed" in capsys.readouterr().err
    assert main(["sign", "m.mar", "--key", "k.key"]) == 0
    assert "3 files, signed by" in capsys.readouterr().out
    assert main(["verify", "m.mar", "--key", "k.pub"]) == 0
    assert capsys.readouterr() == ("m.mar: ok\n", "")
    assert main(["verify", "m.mar", "--key", "other.pub"]) == 1
    assert main(["verify", "m.mar", "--key", "other.pub", "--key", "k.pub"]) == 0
    assert main(["verify", "m.mar", "--key", "."]) == 0
    capsys.readouterr()
    assert main(["verify", "m.mar"]) == 0
    assert "WARNING - Signed by" in capsys.readouterr().err
    assert main(["sign", "m.mar", "--key", "k.key", "--detached"]) == 0
    assert Path("m.mar.sig").is_file()
    Path("k.key").chmod(0o644)
    capsys.readouterr()
    assert main(["sign", str(path), "--key", "k.key"]) == 0
    assert "k.key can be read by users other" in capsys.readouterr().err
    assert main(["sign", "m.mar", "--key", "missing.key"]) == 1
    assert "missing.key" in capsys.readouterr().err


def test_the_commands_read_a_passphrase_from_a_file(
    tmp_path: Path, make: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    path, word = make("default"), tmp_path / "word"
    word.write_text("open sesame\nrest\n")
    key = str(tmp_path / "k")
    assert main(["keygen", key, "--passphrase-file", str(word)]) == 0
    assert main(["sign", str(path), "--key", f"{key}.key"]) == 1
    assert "needs its passphrase" in capsys.readouterr().err
    assert main(["sign", str(path), "--key", f"{key}.key", "--passphrase-file", str(word)]) == 0
    word.write_text("\n")
    assert main(["keygen", f"{key}2", "--passphrase-file", str(word)]) == 1
    assert "has no passphrase in its first line" in capsys.readouterr().err
