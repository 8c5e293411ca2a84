"""What is served where each model must be signed."""

from __future__ import annotations

import io
import json
import os
import shutil
import tarfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from model_origin import Origin

from archiver import pack
from archiver.signing.keys import generate_key, load_private_key
from archiver.signing.sign import sign
from mms.errors import BadRequest, ConfigurationError, InternalServerError, InvalidModel
from mms.repository import Repository
from mms.repository.trust import Trust
from mms.settings import Settings

FORMS = {"default": "m.mar", "tgz": "m.tar.gz", "no-archive": "m"}


class Place:
    """A model store, a cache and a folder of trusted keys."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store, self.cache, self.keys = (folder / n for n in ("store", "cache", "keys"))
        self.store.mkdir()
        self.keys.mkdir()
        generate_key(self.keys / "ours")
        generate_key(folder / "theirs")
        source = folder / "source"
        source.mkdir()
        (source / "service.py").write_text("def handle(data, context): return data\n")
        self.repository = Repository(
            self.store,
            self.cache,
            trust=Trust((str(self.keys),)),
            model_cache=folder / "model-cache",
        )

    def pack(self, archive_format: str = "default") -> Path:
        return pack(
            self.folder / "source",
            model_name="m",
            handler="service:handle",
            export_path=self.store,
            archive_format=archive_format,  # type: ignore[arg-type]
        )

    def sign(self, path: Path, name: str = "keys/ours", *, is_detached: bool = False) -> Path:
        key = load_private_key(self.folder / f"{name}.key")
        return sign(path, key, is_detached=is_detached)[1]

    def left(self) -> list[str]:
        return os.listdir(self.cache) if self.cache.exists() else []


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    place = Place(tmp_path)
    yield place
    await place.repository.close()


@pytest.mark.parametrize("is_detached", [False, True], ids=["inside", "detached"])
@pytest.mark.parametrize("form", FORMS)
async def test_a_signed_archive_of_the_store_is_served_from_a_copy(
    place: Place, form: str, is_detached: bool
) -> None:
    path = place.pack(form)
    place.sign(path, is_detached=is_detached)
    fetched = await place.repository.fetch(FORMS[form])
    assert not fetched.is_in_place
    assert fetched.folder.parent == place.cache
    assert (fetched.folder / "service.py").is_file()
    assert fetched.manifest is not None
    assert fetched.manifest.model_name == "m"
    assert len(fetched.signed_by or "") == 32
    # What happens to the store later changes nothing of it.
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert (fetched.folder / "service.py").is_file()
    await place.repository.release(fetched)
    assert place.left() == []


@pytest.mark.parametrize("form", FORMS)
async def test_an_archive_without_a_trusted_signature_is_refused_and_leaves_nothing(
    place: Place, form: str
) -> None:
    path = place.pack(form)
    with pytest.raises(InvalidModel, match="The archive is not signed"):
        await place.repository.fetch(FORMS[form])
    place.sign(path, "theirs")
    with pytest.raises(InvalidModel, match="none of the trusted keys"):
        await place.repository.fetch(FORMS[form])
    assert place.left() == []


async def test_a_file_added_to_a_signed_folder_is_refused_by_name(place: Place) -> None:
    path = place.pack("no-archive")
    place.sign(path)
    (path / "evil.py").write_text("")
    with pytest.raises(InvalidModel, match=r"'evil\.py' is not among"):
        await place.repository.fetch("m")
    (path / "evil.py").unlink()
    (path / "service.py").unlink()
    (path / "service.py").symlink_to("/etc/passwd")
    with pytest.raises(InvalidModel, match=r"'service\.py' is a symbolic link"):
        await place.repository.fetch("m")
    assert place.left() == []


async def test_a_changed_archive_is_refused_by_the_entrys_name(place: Place) -> None:
    path = place.pack("no-archive")
    place.sign(path)
    (path / "service.py").write_text("import os")
    with pytest.raises(InvalidModel, match=r"'service\.py' is not what was signed"):
        await place.repository.fetch("m")
    assert place.left() == []


async def test_a_download_needs_its_signature_inside(place: Place, origin: Origin) -> None:
    path = place.pack()
    unsigned = origin.serve("unsigned.mar", path.read_bytes())
    place.sign(path)
    signed = origin.serve("signed.mar", path.read_bytes())
    with pytest.raises(InvalidModel, match="The archive is not signed"):
        await place.repository.fetch(unsigned)
    assert place.left() == []
    fetched = await place.repository.fetch(signed)
    assert fetched.signed_by is not None


async def test_a_document_that_stands_alone_is_refused(place: Place) -> None:
    (place.store / "graph.yaml").write_text("name: g")
    with pytest.raises(InvalidModel, match=r"graph\.yaml is a document outside an archive"):
        await place.repository.fetch("graph.yaml")
    assert place.left() == []


async def test_keys_are_read_anew_for_each_model(place: Place) -> None:
    path = place.pack()
    place.sign(path, "theirs")
    with pytest.raises(InvalidModel):
        await place.repository.fetch("m.mar")
    shutil.copy(place.folder / "theirs.pub", place.keys)
    assert (await place.repository.fetch("m.mar")).signed_by is not None
    (place.keys / "theirs.pub").write_text("no key")
    with pytest.raises(InternalServerError, match=r"theirs\.pub is not a public key"):
        await place.repository.fetch("m.mar")


def _tgz(folder: Path) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        archive.add(folder, arcname=".")
    return buffer.getvalue()


async def test_what_a_model_uri_names_is_signed_in_itself(place: Place, origin: Origin) -> None:
    files = place.folder / "files"
    files.mkdir()
    (files / "model.joblib").write_bytes(b"pickle")
    uri = origin.serve("files.tar.gz", _tgz(files))
    uris = place.repository.model_uris
    with pytest.raises(InvalidModel, match="The archive is not signed"):
        await uris.fetch(uri, None)
    content = place.folder / "model-cache" / "content"
    assert os.listdir(content) == []
    place.sign(files)
    uri = origin.serve("signed.tar.gz", _tgz(files))
    found = await uris.fetch(uri, None)
    assert (found.path / "model.joblib").read_bytes() == b"pickle"
    # Also what has been kept, whoever has been at it.
    await uris.release(found)
    (found.path / "model.joblib").write_bytes(b"poison")
    with pytest.raises(InvalidModel, match=r"'model\.joblib' is not what was signed"):
        await uris.fetch(uri, None)
    single = origin.serve("model.joblib", b"pickle")
    with pytest.raises(InvalidModel, match="The archive is not signed"):
        await uris.fetch(single, None)


async def test_a_model_uri_of_a_file_leads_into_the_signed_archive_alone(place: Place) -> None:
    path = place.pack()
    place.sign(path)
    fetched = await place.repository.fetch("m.mar")
    uris = place.repository.model_uris
    inside = await uris.fetch("service.py", fetched.folder)
    assert inside.path == fetched.folder / "service.py"
    (place.store / "other").mkdir()
    for uri in ("other", str(place.store / "other"), f"file://{place.store}/other", "/etc"):
        with pytest.raises(BadRequest, match="is not in the signed archive"):
            await uris.fetch(uri, fetched.folder)
        with pytest.raises(BadRequest, match="is not in the signed archive"):
            await uris.fetch(uri, None)
    # Whoever starts the server may name what lies on its own disk.
    found = await uris.fetch(str(place.store / "other"), None, is_from_operator=True)
    assert found.path == place.store / "other"


def test_a_server_without_a_key_to_trust_does_not_start(tmp_path: Path) -> None:
    settings = Settings()
    assert Trust.of_settings(settings) is None
    settings.require_signature = True
    with pytest.raises(ConfigurationError, match="require_signature=true needs trusted_keys"):
        Trust.of_settings(settings)
    settings.trusted_keys = str(tmp_path)
    with pytest.raises(ConfigurationError, match="require_signature=true needs trusted_keys"):
        Trust.of_settings(settings)
    settings.trusted_keys = f"{tmp_path}, {tmp_path / 'none.pub'}"
    with pytest.raises(ConfigurationError, match=r"trusted_keys: .*none\.pub cannot be read"):
        Trust.of_settings(settings)
    generate_key(tmp_path / "none")
    trust = Trust.of_settings(settings)
    assert trust is not None
    assert len(trust.keys().keys) == 1


async def test_a_changed_manifest_is_refused(place: Place) -> None:
    path = place.pack("no-archive")
    place.sign(path)
    manifest = path / "MAR-INF" / "MANIFEST.json"
    document = json.loads(manifest.read_text())
    document["model"]["handler"] = "other:handle"
    manifest.write_text(json.dumps(document))
    with pytest.raises(InvalidModel, match=r"'MAR-INF/MANIFEST\.json' is not what was signed"):
        await place.repository.fetch("m")
    assert place.left() == []
