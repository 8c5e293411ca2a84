"""Which file a model's path or address means, and what is told of it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from mms.fetch import fetched_files
from mms.interfaces.mlrun.errors import MLRunInvalidArgumentError, MLRunNotFoundError
from mms.interfaces.mlrun.files import datastore
from mms.interfaces.mlrun.files.artifacts import get_model
from mms.interfaces.mlrun.files.datastore import get_dataitem, get_object, set_store_resolver
from mms.interfaces.mlrun.files.model_spec import ModelArtifact, parse_model_spec
from mms.interfaces.mlrun.model.model_server import V2ModelServer

SPEC = """
kind: model
metadata: {key: iris, project: p, tag: v1, labels: {a: b}}
spec:
  model_file: model.pkl
  parameters: {depth: 3}
  metrics: {accuracy: 0.9}
  inputs: [{name: width, value_type: float}, {name: kind}]
  outputs: [{name: label, value_type: int}]
  extra_data: {stats: data/stats.csv}
  feature_stats: {width: {mean: 1.5}}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("b.pkl", "a.pkl", "notes.txt"):
        (tmp_path / name).write_text(name)
    (tmp_path / "inner").mkdir()
    return tmp_path


@pytest.fixture(autouse=True)
def cache(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    """A cache of the test's own."""
    files = fetched_files.FetchedFiles.open(str(tmp_path_factory.mktemp("cache")))
    monkeypatch.setattr(fetched_files, "_folder", files)
    yield Path(files.path)
    files.close()
    assert not Path(files.path).exists()


def test_a_file_with_the_suffix_is_the_model(folder: Path) -> None:
    path = str(folder / "a.pkl")
    assert get_model(path) == get_model(f"file://{path}") == (path, None, {})
    assert get_model(str(folder / "notes.txt"), ".txt")[0] == str(folder / "notes.txt")


def test_a_folders_model_is_the_first_by_name_and_all_its_files_are_extra_data(
    folder: Path,
) -> None:
    file, spec, extra = get_model(folder, ".pkl")
    assert (file, spec, sorted(extra)) == (
        str(folder / "a.pkl"),
        None,
        ["a.pkl", "b.pkl", "notes.txt"],
    )
    with open(str(extra["notes.txt"])) as file_of_extra:
        assert file_of_extra.read() == "notes.txt"


@pytest.mark.parametrize("name", ["", "none", "a.pkl"])
def test_what_has_no_file_with_the_suffix_is_named(folder: Path, name: str) -> None:
    with pytest.raises(
        ValueError, match=f"cant resolve model file for {folder / name} suffix.onnx"
    ):
        get_model(str(folder / name), ".onnx")


@pytest.mark.parametrize("name", ["", "model_spec.yaml", "other.YAML"])
def test_a_spec_tells_the_file_and_what_belongs_to_it(tmp_path: Path, name: str) -> None:
    (tmp_path / (name or "model_spec.yaml")).write_text(SPEC)
    (tmp_path / "data").mkdir()
    (tmp_path / "data/stats.csv").write_text("x,y\n")
    file, spec, extra = get_model(str(tmp_path / name), ".pkl")
    assert file == str(tmp_path / "model.pkl")
    assert spec is not None
    assert (spec.parameters, spec.metrics, spec.labels) == (
        {"depth": 3},
        {"accuracy": 0.9},
        {"a": "b"},
    )
    assert [feature.name for feature in spec.inputs] == ["width", "kind"]
    assert spec.outputs.to_dict() == [{"name": "label", "value_type": "int"}]
    assert (spec.key, spec.tag, spec.framework) == ("iris", "v1", None)
    assert spec.uri == "store://models/p/iris:v1"
    assert spec.feature_stats["width"]["mean"] == 1.5
    assert extra["stats"].key == "stats"
    assert extra["stats"].get(encoding="utf-8") == "x,y\n"


def test_the_specs_parameters_go_before_those_of_the_model(tmp_path: Path) -> None:
    (tmp_path / "model_spec.yaml").write_text(SPEC)
    model = V2ModelServer(name="m", model_path=str(tmp_path), depth=1, other=2)
    model.get_model(".pkl")
    assert (model.get_param("depth"), model.get_param("other")) == (3, 2)
    inputs = [{"name": "width", "value_type": "float"}, {"name": "kind", "value_type": "str"}]
    assert model.metadata()["inputs"] == inputs


def test_a_spec_is_written_as_it_is_read() -> None:
    spec = parse_model_spec(SPEC, "text")
    again = parse_model_spec(spec.to_yaml(), "text")
    assert again.to_dict() == spec.to_dict()
    assert "tag" not in again.to_dict()["metadata"]


@pytest.mark.parametrize(
    "text", ["[1]", "kind: dataset", "a: [", "spec: 3", "!!python/object/apply:os.getcwd []"]
)
def test_a_spec_that_is_none_is_named(text: str) -> None:
    with pytest.raises(ValueError, match=r"x\.yaml is not a model spec"):
        parse_model_spec(text, "x.yaml")


def test_store_addresses_need_a_resolver(folder: Path) -> None:
    with pytest.raises(MLRunNotFoundError, match="store://models/p/k cannot be read"):
        get_model("store://models/p/k")
    artifact = ModelArtifact("k", model_file="b.pkl", target_path=str(folder))
    for resolved in (artifact, artifact.to_dict()):
        set_store_resolver(lambda uri, found=resolved: found)  # type: ignore[misc]
        try:
            assert get_model("store://models/p/k")[0] == str(folder / "b.pkl")
        finally:
            set_store_resolver(None)
    assert datastore._resolver is None


class Files(BaseHTTPRequestHandler):
    contents: dict[str, bytes] = {}
    statuses: list[int] = []

    def do_GET(self) -> None:
        content = self.contents.get(self.path)
        status = 404 if content is None else 200
        tag = f'"{hash(content)}"'
        if self.headers.get("If-None-Match") == tag:
            status, content = 304, b""
        self.statuses.append(status)
        self.send_response(status)
        self.send_header("ETag", tag)
        self.send_header("Content-Length", str(len(content or b"")))
        self.end_headers()
        self.wfile.write(content or b"")

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@pytest.fixture
def site() -> Iterator[str]:
    Files.contents, Files.statuses = {}, []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Files)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_file_of_a_server_keeps_its_name_and_is_fetched_once_until_it_changes(site: str) -> None:
    Files.contents["/m/the%20model.pkl"] = b"one"
    paths = [get_model(f"{site}/m/the%20model.pkl")[0] for _ in range(3)]
    assert Path(paths[0]).name == "the model.pkl"
    assert (len(set(paths)), Path(paths[0]).read_bytes()) == (1, b"one")
    assert Files.statuses == [200, 304, 304]
    Files.contents["/m/the%20model.pkl"] = b"two"
    assert Path(get_model(f"{site}/m/the%20model.pkl")[0]).read_bytes() == b"two"
    assert Path(paths[0]).read_bytes() == b"one"


def test_a_spec_of_a_server_leads_to_the_files_beside_it(site: str) -> None:
    Files.contents.update(
        {"/m/spec.yaml": SPEC.encode(), "/m/model.pkl": b"1", "/m/data/stats.csv": b"x"}
    )
    file, _, extra = get_model(f"{site}/m/spec.yaml")
    assert (Path(file).name, Path(file).read_bytes()) == ("model.pkl", b"1")
    assert str(extra["stats"]) == f"{site}/m/data/stats.csv"
    assert (extra["stats"].get(), Path(extra["stats"].local()).name) == (b"x", "stats.csv")


def test_a_file_that_a_server_does_not_have_is_named(site: str, cache: Path) -> None:
    with pytest.raises(FileNotFoundError, match=f"{site}/none.pkl is not there"):
        get_model(f"{site}/none.pkl")
    assert not [path for path in cache.rglob("*") if path.suffix == ".pkl"]


def test_a_folder_of_an_object_store_is_read_through_fsspec() -> None:
    fsspec = pytest.importorskip("fsspec", reason="fsspec is not installed")
    files = fsspec.filesystem("memory")
    files.pipe_file("/models/m/a.bst", b"1")
    files.pipe_file("/models/m/notes.txt", b"2")
    try:
        file, _, extra = get_model("memory://models/m", ".bst")
        assert (Path(file).name, Path(file).read_bytes()) == ("a.bst", b"1")
        assert extra["notes.txt"].get() == b"2"
        assert get_dataitem("memory://models/m").listdir() == ["a.bst", "notes.txt"]
    finally:
        files.rm("/models", recursive=True)


@pytest.mark.parametrize("url", ["v3io:///a/b.pkl", "ds://p/b.pkl", "nothing://a/b.pkl"])
def test_schemes_that_nothing_reads_are_named(url: str) -> None:
    with pytest.raises(MLRunInvalidArgumentError, match=f"{url} cannot be read"):
        get_model(url)


def test_items_are_read_written_and_listed(tmp_path: Path) -> None:
    item = get_dataitem(tmp_path / "in/one.txt")
    item.put("abc")
    item.put(b"def", append=True)
    assert (item.get(2, 1), get_object(str(item)), item.get(encoding="utf-8")) == (
        b"bc",
        b"abcdef",
        "abcdef",
    )
    assert (item.kind, item.suffix, item.key, item.stat().size) == ("file", ".txt", "one.txt", 6)
    assert get_dataitem(str(tmp_path / "in")).listdir() == ["one.txt"]
    item.download(str(tmp_path / "out/two.txt"))
    assert (tmp_path / "out/two.txt").read_text() == "abcdef"
    with item.open("r") as file:
        assert file.read() == "abcdef"
    item.delete()
    assert not item.exists()
    with pytest.raises(ValueError, match=r"one\.txt is not a table"):
        item.as_df()


def test_what_was_fetched_is_kept_while_another_process_uses_it(tmp_path: Path) -> None:
    first = fetched_files.FetchedFiles.open(str(tmp_path))
    second = fetched_files.FetchedFiles.open(str(tmp_path))
    assert first.path == second.path
    first.close()
    assert Path(second.path).is_dir()
    second.close()
    assert not Path(second.path).exists()


@pytest.mark.parametrize("data", [123, 0, None, [1, 2], {"a": 1}, 1.5])
def test_an_item_takes_text_and_bytes_alone(tmp_path: Path, data: object) -> None:
    item = get_dataitem(str(tmp_path / "x.bin"))
    with pytest.raises(TypeError, match=f"takes text or bytes, not {type(data).__name__}"):
        item.put(data)
    assert not item.exists()
    for content in ("text", b"text", bytearray(b"text"), memoryview(b"text")):
        item.put(content)
        assert item.get() == b"text"


@pytest.mark.parametrize("place", ["", "memory://"])
def test_an_item_that_is_not_there_is_deleted_without_an_error(tmp_path: Path, place: str) -> None:
    if place:
        pytest.importorskip("fsspec", reason="fsspec is not installed")
    item = get_dataitem(f"{place}{tmp_path}/x.txt")
    item.put("text")
    for _ in range(2):
        item.delete()
        assert not item.exists()
