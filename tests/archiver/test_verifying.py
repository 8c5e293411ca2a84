from __future__ import annotations

import json
from pathlib import Path

import pytest
from archive_building import HANDLER, MANIFEST, manifest_json, write_folder, write_zip

from archiver.verify import verify

DATA = Path(__file__).parent / "data"


def findings(tmp_path: Path, files: dict[str, str], **model: str) -> list[tuple[str, str]]:
    """Level and message of each finding in a folder with these files and a manifest."""
    folder = write_folder(
        tmp_path / "model", {"MAR-INF/MANIFEST.json": manifest_json(**model), **files}
    )
    return [(finding.level, finding.message) for finding in verify(folder)]


@pytest.mark.parametrize(
    "source",
    [
        HANDLER,
        "async def handle(data, context):\n    return data\n",
        "def handle(*arguments): return []\n",
        "def handle(data, context, more=None): return []\n",
        "handle = lambda data, context: data\n",
        "from other import handle\n",
        "from other import serve as handle\n",
        "import handle\n",
        "if True:\n    def handle(data, context): return data\n",
        "try:\n    from fast import handle\nexcept ImportError:\n    pass\n",
        "try:\n    x = 1\nexcept ImportError:\n    from slow import handle\n",
        "class Service:\n    def handle(self, data, context): return data\n",
        "class Service:\n    def run(self, data, context): return data\n    handle = run\n",
        "first, handle = f()\n",
        "print('\\d')\ndef handle(data, context): return data\n",
    ],
)
def test_a_module_with_its_entry_point_is_fine(tmp_path: Path, source: str) -> None:
    assert findings(tmp_path, {"service.py": source}) == []


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            "",
            "service.py has no handle, nor exactly one class; functions there: none; classes there: none.",
        ),
        (
            "handled = 1\n",
            "service.py has no handle, nor exactly one class; functions there: none; classes there: none.",
        ),
        (
            "class A: pass\nclass B: pass\n",
            "service.py has no handle, nor exactly one class; functions there: none; classes there: A, B.",
        ),
        ("class A: pass\n", "service.py: the class A has no method handle."),
        ("def handle(): pass\n", "service.py: handle must take two arguments, (data, context)."),
        ("def handle(a): pass\n", "service.py: handle must take two arguments, (data, context)."),
        (
            "def handle(a, b, c): pass\n",
            "service.py: handle must take two arguments, (data, context).",
        ),
        (
            "def handle(a, b, *, c): pass\n",
            "service.py: handle must take two arguments, (data, context).",
        ),
        (
            "def f():\n    def handle(a, b): pass\n",
            "service.py has no handle, nor exactly one class; functions there: f; classes there: none.",
        ),
    ],
)
def test_a_module_without_a_usable_entry_point_is_an_error(
    tmp_path: Path, source: str, message: str
) -> None:
    assert findings(tmp_path, {"service.py": source}) == [("error", message)]


@pytest.mark.parametrize(
    "source",
    ["from base import *\n", "class A(Base): pass\n"],
)
def test_what_only_running_can_tell_is_a_warning(tmp_path: Path, source: str) -> None:
    assert [level for level, _ in findings(tmp_path, {"service.py": source})] == ["warning"]


def test_a_syntax_error_is_an_error_with_its_line(tmp_path: Path) -> None:
    ((level, message),) = findings(tmp_path, {"service.py": "x = 1\ndef handle(:\n"})
    assert level == "error"
    assert message.startswith("service.py, line 2: ")


def test_a_module_with_a_nul_byte_is_an_error(tmp_path: Path) -> None:
    ((level, message),) = findings(tmp_path, {"service.py": "x = 1\0\n"})
    assert level == "error"
    assert message.startswith("service.py")


@pytest.mark.parametrize(
    ("handler", "file"),
    [
        ("service", "service.py"),
        ("service.py", "service.py"),
        ("service.py:handle", "service.py"),
        ("code/service.py:handle", "code/service.py"),
        ("code/service:handle", "code/service.py"),
        ("package.service:handle", "package/service.py"),
        ("package:handle", "package/__init__.py"),
        ("missing_folder/service:handle", "service.py"),
    ],
)
def test_a_handler_is_looked_for_where_the_worker_imports_it(
    tmp_path: Path, handler: str, file: str
) -> None:
    assert findings(tmp_path, {file: HANDLER}, handler=handler) == []


def test_the_function_of_the_handler_is_the_entry_point(tmp_path: Path) -> None:
    files = {"service.py": "def predict(data, context): return data\n"}
    assert findings(tmp_path, files, handler="service:predict") == []
    ((level, message),) = findings(tmp_path, files, handler="service:other")
    assert level == "error"
    assert "has no other" in message


def test_a_module_that_is_nowhere_is_an_error(tmp_path: Path) -> None:
    for handler in ("absent_module:handle", "os.py:handle", "code/service:handle"):
        ((level, message),) = findings(tmp_path, {"x": ""}, handler=handler)
        assert level == "error"
        assert message.endswith("is not in the archive.")


def test_a_handler_that_comes_with_the_server_needs_no_file(tmp_path: Path) -> None:
    assert findings(tmp_path, {"x": ""}, handler="image_classifier") == []


@pytest.mark.parametrize(
    ("handler", "files"),
    [
        ("json.decoder:handle", {"x": ""}),
        ("vllm_handler", {"x": ""}),
        ("service:handle", {"service.cpython-311-x86_64-linux-gnu.so": ""}),
        ("/opt/handlers/service.py:handle", {"x": ""}),
    ],
)
def test_a_module_outside_the_archive_is_a_warning(
    tmp_path: Path, handler: str, files: dict[str, str]
) -> None:
    assert [level for level, _ in findings(tmp_path, files, handler=handler)] == ["warning"]


def test_the_handlers_code_is_not_run(tmp_path: Path) -> None:
    files = {"service.py": "raise SystemExit('ran')\ndef handle(data, context): pass\n"}
    assert findings(tmp_path, files) == []


@pytest.mark.parametrize(
    ("manifest", "message"),
    [
        ("{", "Failed to parse signature.json. ("),
        ('{"model": null}', "Missing Model entry in manifest file."),
        ("{}", "Model name is not defined."),
        ('{"model": {"modelName": "m"}}', "Model handler is not defined."),
        (json.dumps({**MANIFEST, "runtime": "ruby"}), "Runtime is not defined or invalid. ("),
        (json.dumps({**MANIFEST, "engine": {}}), "engineName is required in <engine>."),
    ],
)
def test_what_the_server_says_to_a_manifest_is_an_error(
    tmp_path: Path, manifest: str, message: str
) -> None:
    path = write_zip(tmp_path / "m.mar", [("MAR-INF/MANIFEST.json", manifest)])
    (finding,) = verify(path)
    assert finding.level == "error"
    assert finding.message.startswith(message)


def test_an_archive_without_a_manifest_is_a_warning(tmp_path: Path) -> None:
    (finding,) = verify(write_zip(tmp_path / "m.mar", [("service.py", HANDLER)]))
    assert finding.level == "warning"
    assert "model_name and handler" in finding.message


def test_a_zipped_folder_instead_of_its_content_is_an_error_that_says_so(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "m.mar", [("m/MAR-INF/MANIFEST.json", manifest_json())])
    (finding,) = verify(path)
    assert finding.level == "error"
    assert "archive what is in that folder" in finding.message


def test_an_unsafe_or_damaged_archive_is_an_error(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "m.mar", [("../evil", "x")])
    (finding,) = verify(path)
    assert finding.level == "error"
    assert "'../evil'" in finding.message
    path = write_zip(tmp_path / "m.mar", [("service.py", HANDLER)])
    data = bytearray(path.read_bytes())
    data[40 + 5] ^= 0xFF  # in the compressed content
    path.write_bytes(data)
    (finding,) = verify(path)
    assert finding.level == "error"
    assert "service.py" in finding.message


def test_names_that_differ_in_case_alone_are_an_error_and_in_a_folder_a_warning(
    tmp_path: Path,
) -> None:
    entries = [
        ("service.py", HANDLER),
        ("A", ""),
        ("a", ""),
        ("MAR-INF/MANIFEST.json", manifest_json()),
    ]
    (finding,) = verify(write_zip(tmp_path / "m.mar", entries))
    assert finding.level == "error"
    assert "A and a" in finding.message
    (finding,) = verify(write_folder(tmp_path / "m", dict(entries)))
    assert finding.level == "warning"


def test_a_link_in_a_folder_is_a_warning(tmp_path: Path) -> None:
    folder = write_folder(
        tmp_path / "m", {"service.py": HANDLER, "MAR-INF/MANIFEST.json": manifest_json()}
    )
    (folder / "link").symlink_to("service.py")
    (finding,) = verify(folder)
    assert finding.level == "warning"
    assert "link is a symbolic link" in finding.message


@pytest.mark.parametrize("field", ["serializedFile", "modelFile", "requirementsFile", "configFile"])
def test_a_file_that_the_manifest_names_must_be_there(tmp_path: Path, field: str) -> None:
    files = {"service.py": HANDLER}
    expected = ("error", f"The manifest's {field} extra.bin is not in the archive.")
    assert findings(tmp_path, files, **{field: "extra.bin"}) == [expected]
    assert findings(tmp_path, {**files, "extra.bin": ""}, **{field: "extra.bin"}) == []


def test_a_runtime_of_python_2_is_a_warning(tmp_path: Path) -> None:
    manifest = json.dumps({**MANIFEST, "runtime": "python2"})
    path = write_zip(
        tmp_path / "m.mar", [("MAR-INF/MANIFEST.json", manifest), ("service.py", HANDLER)]
    )
    assert [finding.level for finding in verify(path)] == ["warning"]


LEGACY_SERVICE = (
    "from mms.model_service.mxnet_model_service import SingleNodeService\n"
    "class Noop(SingleNodeService):\n"
    "    def _inference(self, data): return 'OK'\n"
)


def legacy(tmp_path: Path, files: dict[str, str], **model: str) -> list[str]:
    fields = {"Model-Name": "old", "Service": "service.py", "Signature": "signature.json", **model}
    manifest = json.dumps({"Model": {key: value for key, value in fields.items() if value}})
    return [
        f"{finding.level}: {finding.message}"
        for finding in verify(write_folder(tmp_path / "old", {"MANIFEST.json": manifest, **files}))
    ]


def test_a_legacy_archive_needs_its_service_class_and_signature(tmp_path: Path) -> None:
    files = {"service.py": LEGACY_SERVICE, "signature.json": "{}"}
    assert legacy(tmp_path, files) == []
    assert legacy(tmp_path, {**files, "service.py": "class A: pass\n"}) == [
        "error: service.py has no class derived from SingleNodeService."
    ]
    assert legacy(tmp_path, files, Signature="") == [
        "error: The legacy manifest has no Signature file."
    ]
    assert legacy(tmp_path, files, Signature="other.json") == [
        "error: The manifest's Signature other.json is not in the archive."
    ]


@pytest.mark.parametrize("path", sorted(DATA.iterdir()), ids=lambda path: path.name)
def test_archives_of_the_other_archivers_pass(path: Path) -> None:
    assert verify(path) == []
