"""The server knows no ecosystem by name: it asks the table of interfaces."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mms.interfaces import INTERFACES, Interface, part

ROOT = Path(__file__).resolve().parents[2]
KERNEL = (
    *("wire", "core", "settings", "registration", "launch", "repository", "worker", "serving"),
    *("http", "grpc", "observe", "security", "tracking"),
)
ECOSYSTEMS = re.compile("seldon|mlrun|torchserve|mxnet", re.IGNORECASE)
#: File -> why it names one.
ALLOWED = {
    "mms/settings/values.py": "the settings of interfaces are declared beside all others",
    "mms/observe/log_files/setup.py": "MXNETMODELSERVER_PROGRAM is a variable of MMS itself",
    "mms/observe/metrics/custom_series.py": "models may not take the names of the server's own series",
}
PARTS = ("class_rule", "class_finder", "worker", "http_api", "schemas", "grpc_services")


def test_only_files_with_a_reason_name_an_ecosystem() -> None:
    naming = {
        str(file.relative_to(ROOT))
        for room in KERNEL
        for file in sorted((ROOT / "mms" / room).rglob("*.py"))
        if ECOSYSTEMS.search(file.read_text(encoding="utf-8"))
    }
    assert naming == set(ALLOWED)


@pytest.mark.parametrize("interface", INTERFACES, ids=lambda interface: interface.name)
def test_every_part_of_an_interface_is_there(interface: Interface) -> None:
    for name in (*PARTS, "load_part", "place", "composites"):
        reference = getattr(interface, name)
        assert not reference or part(reference) is not None


@pytest.mark.parametrize("interface", INTERFACES, ids=lambda interface: interface.name)
def test_stand_ins_have_a_folder_of_their_name(interface: Interface) -> None:
    for package in interface.packages:
        assert (Path(package.folder) / package.name / "__init__.py").is_file()
