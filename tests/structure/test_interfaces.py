"""The server knows no ecosystem by name: it asks the table of interfaces."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mms.interfaces import INTERFACES, Interface, part

ROOT = Path(__file__).resolve().parents[2]
KERNEL = (
    *("wire", "core", "settings", "registration", "launch", "repository", "worker", "serving"),
    *(
        "http",
        "grpc",
        "observe",
        "security",
        "tracking",
        "limits",
        "processes",
        "bodies",
        "tensors",
        "text",
    ),
)
ECOSYSTEMS = re.compile("seldon|mlrun|torchserve|mxnet", re.IGNORECASE)
#: Loose files of the kernel.
FILES = (
    "server.py",
    "fronts.py",
    "errors.py",
    "faults.py",
    "cli/mms.py",
    "cli/models.py",
    "cli/registration_flags.py",
)
PARTS = (
    *(
        "class_rule",
        "handler_rule",
        "class_finder",
        "worker",
        "http_api",
        "schemas",
        "grpc_services",
    ),
    *(
        "layout",
        "declaration",
        "declaration_problems",
        "load_part",
        "place",
        "composites",
        "sample",
        "settings",
        "config_dialect",
        "key_ring",
        "key_refusal",
        "metrics_text",
        "is_management_safe",
        "parameters",
    ),
)


def test_the_kernel_names_no_ecosystem() -> None:
    rooms = [file for room in KERNEL for file in sorted((ROOT / "mms" / room).rglob("*.py"))]
    naming = [
        str(file.relative_to(ROOT))
        for file in (*rooms, *(ROOT / "mms" / name for name in FILES))
        if ECOSYSTEMS.search(file.read_text(encoding="utf-8"))
    ]
    assert naming == []


@pytest.mark.parametrize("interface", INTERFACES, ids=lambda interface: interface.name)
def test_every_part_of_an_interface_is_there(interface: Interface) -> None:
    for name in PARTS:
        reference = getattr(interface, name)
        assert not reference or part(reference) is not None
    for command in interface.commands:
        assert part(command.command).main is not None


@pytest.mark.parametrize("interface", INTERFACES, ids=lambda interface: interface.name)
def test_stand_ins_have_a_folder_of_their_name(interface: Interface) -> None:
    for package in interface.packages:
        assert (Path(package.folder) / package.name / "__init__.py").is_file()
