"""The compiled descriptors of protobuf messages, and the sources that they stand for."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = runpy.run_path(str(ROOT / "scripts" / "make_descriptors.py"))
DESCRIPTORS: dict[str, tuple[str, ...]] = SCRIPT["DESCRIPTORS"]


@pytest.mark.parametrize("name", DESCRIPTORS)
def test_compiled_descriptors_are_those_of_their_sources(name: str) -> None:
    pytest.importorskip("grpc_tools", reason="the compiler comes with grpcio-tools")
    from google.protobuf import descriptor_pb2

    parse = descriptor_pb2.FileDescriptorSet.FromString
    compiled = parse(SCRIPT["compiled"](DESCRIPTORS[name]))
    assert parse((ROOT / name).read_bytes()) == compiled, "run: python scripts/make_descriptors.py"


def test_each_source_and_each_descriptor_file_is_in_use() -> None:
    sources = {source for of_one in DESCRIPTORS.values() for source in of_one}
    folder = ROOT / "scripts" / "protos"
    assert {str(file.relative_to(folder)) for file in folder.rglob("*.proto")} == sources
    found = {str(file.relative_to(ROOT)) for file in (ROOT / "mms").rglob("*.binpb")}
    assert found == set(DESCRIPTORS)
