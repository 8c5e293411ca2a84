"""Packing model servers of MLRun's contract: what their source shows, and what their archives say."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import pytest

from archiver import Archive, PackError, pack
from archiver.cli import main
from archiver.component import InvalidComponent, argument_of_text
from archiver.detection import detect
from archiver.verify import verify

BODY = """
        def load(self):
            self.model = 1

        def predict(self, request):
            return request["inputs"]
"""
WHOLE = f"import mlrun\n\n    class ClassifierModel(mlrun.serving.V2ModelServer):{BODY}"


def text_of(source: str) -> str:
    return textwrap.dedent(f"    {source}" if not source.startswith(" ") else source)


def interface_of(source: str, handler: str = "service:ClassifierModel") -> str:
    text = text_of(source)
    return detect(handler, {"service.py": text.encode()}.get).interface.name


def folder(tmp_path: Path, source: str = WHOLE) -> Path:
    model = tmp_path / "source"
    model.mkdir()
    (model / "service.py").write_text(text_of(source))
    return model


def extensions_of(path: Path) -> dict[str, Any]:
    with Archive.open(path) as archive:
        assert archive.manifest is not None
        return dict(archive.manifest.extensions)


@pytest.mark.parametrize(
    "source",
    [
        WHOLE,
        f"from mlrun.serving import V2ModelServer\n\n    class ClassifierModel(V2ModelServer):{BODY}",
        (
            f"from mlrun.serving.v2_serving import V2ModelServer as Base\n    from x import V2ModelServer\n\n"
            f"    class First(V2ModelServer): pass\n\n    class ClassifierModel(First):{BODY}"
        ),
        (
            "from mlrun.frameworks.sklearn import SKLearnModelServer\n\n"
            "    class ClassifierModel(SKLearnModelServer): pass"
        ),
        f"class ClassifierModel:{BODY}\n        def do_event(self, event): return event",
    ],
)
def test_a_model_server_is_known_by_its_base_or_its_methods(source: str) -> None:
    assert interface_of(source) == "mlrun"


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (f"class ClassifierModel:{BODY}", "seldon"),
        (
            f"from mine import SKLearnModelServer\n\n    class ClassifierModel(SKLearnModelServer):{BODY}",
            "seldon",
        ),
        ("def ClassifierModel(data, context): return data", "mms"),
    ],
)
def test_what_only_resembles_a_model_server_is_none(source: str, expected: str) -> None:
    assert interface_of(source) == expected


def test_a_module_alone_is_its_only_model_server() -> None:
    assert interface_of(WHOLE, "service") == "mlrun"
    two = f"{WHOLE}\n    class Second(ClassifierModel): pass"
    assert interface_of(two, "service") == "mms"
    handler = f"{WHOLE}\n    def handle(data, context): return data"
    assert interface_of(handler, "service") == "mms"
    assert interface_of(handler, "service:ClassifierModel") == "mlrun"


@pytest.mark.parametrize("words", [[], ["--interface", "mlrun"]])
def test_a_model_server_is_packed_with_its_interface_and_parameters(
    tmp_path: Path, words: list[str]
) -> None:
    source = folder(tmp_path)
    words = [
        *words,
        "--model-name",
        "m",
        "--model-path",
        str(source),
        "--export-path",
        str(tmp_path),
    ]
    words += ["--handler", "service:ClassifierModel", "--param", "multiplier=7"]
    assert main([*words, "--param", "url=http://h:80/x", "--param", "on=5:STRING"]) == 0
    assert extensions_of(tmp_path / "m.mar") == {
        "interface": "mlrun",
        "parameters": [
            {"name": "multiplier", "value": "7", "type": "INT"},
            {"name": "url", "value": "http://h:80/x", "type": "STRING"},
            {"name": "on", "value": "5", "type": "STRING"},
        ],
    }
    assert verify(tmp_path / "m.mar") == []


@pytest.mark.parametrize(
    ("text", "value", "kind"),
    [
        ("a=5", "5", "INT"),
        ("a=-1.5e3", "-1.5e3", "DOUBLE"),
        ("a=true", "true", "BOOL"),
        ("a=text", "text", "STRING"),
        ("a=", "", "STRING"),
        ("a=[1, 2]", "[1, 2]", "JSON"),
        ("a=[1, 2", "[1, 2", "STRING"),
        ("a=null", "null", "JSON"),
        ("a=b=c:d", "b=c:d", "STRING"),
    ],
)
def test_a_parameter_without_a_type_has_that_of_its_value(text: str, value: str, kind: str) -> None:
    assert argument_of_text(text) == {"name": "a", "value": value, "type": kind}


def test_a_parameter_without_a_value_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(InvalidComponent, match="'a' is not name=value"):
        argument_of_text("a")
    words = ["--model-name", "m", "--model-path", str(folder(tmp_path)), "--param", "a"]
    with pytest.raises(SystemExit) as caught:
        main([*words, "--handler", "service", "--interface", "mlrun"])
    assert caught.value.code == 2
    assert "argument --param: parameter 'a' is not name=value" in capsys.readouterr().err


def test_a_model_path_among_the_extensions_is_kept(tmp_path: Path) -> None:
    path = pack(
        folder(tmp_path),
        model_name="m",
        handler="service",
        export_path=tmp_path,
        extensions={"model_path": "s3://bucket/model"},
    )
    assert extensions_of(path) == {"interface": "mlrun", "model_path": "s3://bucket/model"}


@pytest.mark.parametrize(
    ("handler", "message"),
    [
        ("service:Other", "has no class Other"),
        ("empty", "has no class, or several, that are model servers"),
    ],
)
def test_a_class_that_is_not_there_is_refused(tmp_path: Path, handler: str, message: str) -> None:
    source = folder(tmp_path)
    (source / "empty.py").write_text("x = 1\n")
    with pytest.raises(PackError, match=message):
        pack(source, model_name="m", handler=handler, interface="mlrun", export_path=tmp_path)


def test_a_class_that_seems_to_be_no_model_server_is_packed_with_a_warning(tmp_path: Path) -> None:
    warnings: list[str] = []
    pack(
        folder(tmp_path, f"class ClassifierModel:{BODY}"),
        model_name="m",
        handler="service:ClassifierModel",
        interface="mlrun",
        export_path=tmp_path,
        warn=warnings.append,
    )
    assert len(warnings) == 1
    assert "has neither the base V2ModelServer" in warnings[0]


def test_a_service_type_is_not_for_model_servers(tmp_path: Path) -> None:
    with pytest.raises(PackError, match="--service-type is for Seldon components"):
        pack(
            folder(tmp_path),
            model_name="m",
            handler="service",
            service_type="MODEL",
            export_path=tmp_path,
        )


def test_an_archive_whose_server_cannot_be_told_is_found_wrong(tmp_path: Path) -> None:
    path = pack(
        folder(tmp_path),
        model_name="m",
        handler="service",
        archive_format="no-archive",
        export_path=tmp_path,
    )
    assert verify(path) == []
    with (path / "service.py").open("a") as file:
        file.write("\nclass Second(ClassifierModel): pass\n")
    (finding,) = verify(path)
    assert finding.message == "service.py has no model server of MLRun, or several."
