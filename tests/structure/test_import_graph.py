"""The rooms of the house and who may import whom, checked on the imports as they are written."""

from __future__ import annotations

import ast
import functools
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from support.sources import nodes

from mms.interfaces import INTERFACES

ROOT = Path(__file__).resolve().parents[2]
PROJECT_PACKAGES = ("archiver", "mms", "model_archiver")


class Room(NamedTuple):
    layer: int
    #: Modules, or packages with all that is in them; "=package" is its own file alone.
    files: tuple[str, ...]
    imports: tuple[str, ...] | None = None  # rooms; None: every room of a lower layer


INTERFACE_NAMES = tuple(interface.name for interface in INTERFACES)

#: The rooms of the server that an interface's front side may use; none of them is in a worker.
FRONT = (
    *("archiver", "bodies", "documents", "errors", "faults", "handler names", "interfaces"),
    *(
        "interfaces' parameters",
        "interfaces' settings",
        "json text",
        "networks",
        "registration",
        "settings",
    ),
    *(
        "batching",
        "core",
        "grpc",
        "http",
        "machine",
        "observe",
        "repository",
        "security",
        "serving",
    ),
    *("tracking", "version", "wire"),
)

ROOMS: dict[str, Room] = {
    # Text that people write and read; every room may import it.
    "text": Room(-2, ("mms.text",), ()),
    # Names that a package imports when they are used.
    "lazy names": Room(-2, ("mms.lazy_names",), ()),
    # Documents in YAML.
    "documents": Room(-1, ("mms.text.documents",), ()),
    # The table of interfaces: names of their parts, which are imported when they are needed.
    "interfaces": Room(
        -2,
        (
            *("=mms.interfaces", "mms.interfaces.interface", "mms.interfaces.absent_name"),
            *(f"=mms.interfaces.{name}" for name in INTERFACE_NAMES if name != "mlrun"),
            *(f"mms.interfaces.{name}.interface" for name in INTERFACE_NAMES),
        ),
        (),
    ),
    # The table of batching policies.
    "batching": Room(-2, ("mms.core.batching",), ()),
    # Every parameter of a registration once.
    "registration": Room(-1, ("mms.registration",), ("batching", "interfaces")),
    "archiver": Room(
        0,
        ("archiver", "model_archiver"),
        ("documents", "interfaces", "registration", "torchserve's own handlers"),
    ),
    # The names of handlers that an archive need not have a file for.
    "torchserve's own handlers": Room(-1, ("mms.interfaces.torchserve.handler_names",), ()),
    # By what the source of a class shows that it is an interface's.
    "class rules": Room(
        1,
        tuple(f"mms.interfaces.{name}.class_rule" for name in INTERFACE_NAMES),
        ("archiver", "torchserve's own handlers"),
    ),
    "errors": Room(0, ("mms.errors",), ()),
    # Exceptions that nothing foresaw.
    "faults": Room(0, ("mms.faults",), ()),
    "version": Room(0, ("=mms", "mms.version"), ()),
    "wire": Room(0, ("mms.wire",), ()),
    # Files that rotate, and what writes them.
    "log writer": Room(1, ("mms.log_writer",), ("processes",)),
    # What a process may, and who comes from whom.
    "processes": Room(0, ("mms.processes",), ()),
    # Which addresses may be asked on a client's behalf.
    "networks": Room(-1, ("mms.limits.networks",), ()),
    # What models' code reads from other servers.
    "fetch": Room(0, ("mms.fetch",), ("networks",)),
    "bodies": Room(-1, ("mms.bodies",), ()),
    # Tensors of requests and answers, whatever protocol brings them.
    "tensors": Room(0, ("mms.tensors",), ()),
    # By orjson where it is installed.
    "json text": Room(0, ("mms.bodies.json_text",), ("bodies",)),
    # Messages from compiled descriptors, where protobuf is installed.
    "protobuf": Room(0, ("mms.bodies.protobuf_files",), ()),
    # Where records of requests go.
    "tracking": Room(0, ("mms.tracking",), ()),
    # Loads a server, and says how late its answers are.
    "load test": Room(0, ("mms.load_test",), ()),
    "drift": Room(1, ("mms.drift",), ("documents",)),
    # Spans of requests, and how they reach a collector.
    "tracing": Room(2, ("mms.tracing",), ("core", "errors", "settings", "version", "wire")),
    # Which of several models gets a request.
    "traffic": Room(0, ("mms.traffic",), ()),
    # The names that handlers import.
    "handler names": Room(
        1,
        (
            *("mms.context", "mms.service", "mms.metrics", "mms.model_service", "mms.utils"),
            "mms.protocol",
        ),
        ("version",),
    ),
    "settings": Room(
        1,
        ("mms.settings",),
        ("batching", "errors", "interfaces", "networks", "processes", "version"),
    ),
    # What the machine has and gives: connections, memory, GPUs, files to open, packages, a folder of the server's own.
    "machine": Room(
        1,
        (
            "mms.limits",
            "mms.machine",
        ),
        ("bodies", "errors", "faults", "processes", "version"),
    ),
    "core": Room(1, ("mms.core",), ("batching", "errors", "faults", "lazy names", "wire")),
    # Classes of Seldon's contract for saved models; only workers load them.
    "prepackaged": Room(1, ("mms.prepackaged",), ("documents", "lazy names", "tensors")),
    # What files of saved models say of them without being loaded.
    "files of saved models": Room(0, ("mms.prepackaged.columns",), ()),
    # What a graph is and does; its calls to nodes are passed in.
    "graph": Room(2, ("mms.interfaces.seldon.graph",)),
    "seldon": Room(
        1,
        ("mms.interfaces.seldon",),
        (
            *("bodies", "documents", "errors", "interfaces", "protobuf", "registration"),
            *("tensors", "traffic", "wire"),
        ),
    ),
    # What archives declare of their models' tensors, in the files of several servers.
    "declarations": Room(
        1,
        ("mms.interfaces.oip.declared",),
        ("archiver", "bodies", "documents", "tensors"),
    ),
    # What front and workers both read of messages of inference.
    "messages of tensors": Room(
        1,
        ("mms.interfaces.oip.infer_parameters", "mms.interfaces.oip.shared_memory"),
        ("bodies", "tensors", "text"),
    ),
    # MLRun's serving contract, in process.
    "mlrun": Room(
        1,
        ("mms.interfaces.mlrun",),
        (
            "processes",
            *("bodies", "documents", "errors", "fetch", "json text", "networks"),
            *("interfaces", "registration", "tensors", "tracking", "traffic", "wire"),
        ),
    ),
    "worker": Room(
        2,
        ("mms.worker",),
        (
            *("bodies", "interfaces", "json text", "processes", "wire", "handler names"),
            *("tensors", "version"),
        ),
    ),
    # What opens a model in its worker.
    "mms in workers": Room(
        3,
        ("mms.interfaces.legacy.worker", "mms.interfaces.mms.worker"),
        ("handler names", "interfaces", "version", "wire", "worker"),
    ),
    "mlrun in workers": Room(
        3,
        ("mms.interfaces.mlrun.worker",),
        (
            "handler names",
            "interfaces",
            "json text",
            "mlrun",
            "bodies",
            "tensors",
            "version",
            "wire",
            "worker",
        ),
    ),
    # What components and graphs do with tensors, imported when the first of them come.
    "seldon's tensors": Room(
        3,
        ("mms.interfaces.seldon.tensors", "mms.interfaces.seldon.worker.tensors"),
        ("core", "errors", "graph", "interfaces", "seldon", "tensors", "wire", "worker"),
    ),
    "seldon in workers": Room(
        4,
        ("mms.interfaces.seldon.worker",),
        (
            *("handler names", "interfaces", "bodies", "seldon", "seldon's tensors", "tensors"),
            *("version", "wire", "worker"),
        ),
    ),
    "oip in workers": Room(
        4,
        ("mms.interfaces.oip.worker",),
        (
            *("declarations", "handler names", "interfaces", "bodies", "json text"),
            *("messages of tensors", "mms in workers", "tensors", "version", "wire", "worker"),
        ),
    ),
    # The contract of TorchServe's handlers.
    "torchserve": Room(
        2,
        ("mms.interfaces.torchserve",),
        ("documents", "handler names", "interfaces", "registration", "version", "wire"),
    ),
    "torchserve in workers": Room(
        4,
        ("mms.interfaces.torchserve.worker",),
        (
            *("handler names", "interfaces", "mms in workers", "torchserve"),
            *("torchserve's own handlers", "version", "wire", "worker"),
        ),
    ),
    "torchserve's packages": Room(
        4, ("mms.interfaces.torchserve.packages",), ("handler names", "interfaces", "torchserve")
    ),
    "torchserve in the front": Room(
        6, ("mms.interfaces.torchserve.front",), (*FRONT, "protobuf", "torchserve")
    ),
    "oip's packages": Room(3, ("mms.interfaces.oip.packages",), ("interfaces", "tensors")),
    # The names for those who write and test models.
    "mlrun's names": Room(2, ("=mms.interfaces.mlrun",), ("lazy names", "mlrun")),
    # What models import, where their makers' own packages are not installed.
    "mlrun's packages": Room(
        3, ("mms.interfaces.mlrun.packages",), ("interfaces", "json text", "mlrun")
    ),
    "seldon's packages": Room(
        3, ("mms.interfaces.seldon.packages",), ("interfaces", "json text", "seldon")
    ),
    "interfaces' settings": Room(
        2,
        tuple(f"mms.interfaces.{name}.settings" for name in INTERFACE_NAMES),
        ("errors", "settings"),
    ),
    "interfaces' parameters": Room(
        2, ("mms.interfaces.parameters",), ("interfaces", "registration")
    ),
    "observe": Room(2, ("mms.observe",)),
    "repository": Room(2, ("mms.repository",)),
    # Keys and their roles, limits per client, what may listen where.
    "security": Room(2, ("mms.security",), ("errors", "interfaces", "settings")),
    "launch": Room(3, ("mms.launch",)),
    # What the server listens on.
    "sockets": Room(
        3,
        ("mms.sockets",),
        ("errors", "faults", "machine", "observe", "processes", "security", "settings"),
    ),
    "serving": Room(4, ("mms.serving",)),
    # The owner of what several fronts serve, and what joins a server to it.
    "cluster": Room(5, ("mms.cluster",), ("errors", "faults", "launch", "processes")),
    "http": Room(5, ("mms.http",)),
    "grpc": Room(5, ("mms.grpc",)),
    # What interfaces do in the front: their protocols, and the models that ask others.
    "mlrun in the front": Room(
        6,
        ("mms.interfaces.mlrun.front",),
        (*FRONT, "mlrun"),
    ),
    "seldon in the front": Room(
        6,
        ("mms.interfaces.seldon.front",),
        (*FRONT, "files of saved models", "graph", "seldon", "seldon's tensors"),
    ),
    "oip in the front": Room(
        6,
        ("mms.interfaces.oip.front",),
        (*FRONT, "declarations", "messages of tensors", "protobuf", "tensors"),
    ),
    "server": Room(7, ("mms.server", "mms.fronts")),
    # Calls to a running server.
    "client": Room(1, ("mms.client",), ("lazy names", "tensors")),
    "cli": Room(
        8,
        (
            "mms.cli",
            "mms.interfaces.mlrun.cli",
            "mms.interfaces.seldon.cli",
            "mms.interfaces.torchserve.cli",
            "mms.model_server",
            "mms.export_model",
            "mms.arg_parser",
        ),
    ),
    # Importable by the names that tools of MMS know; nothing of this server uses them.
    "worker-side names of MMS": Room(8, ("mms.model_loader", "mms.model_service_worker")),
}
STANDARD_LIBRARY_ONLY = (
    "text",
    "wire",
    "bodies",
    "handler names",
    "worker",
    "mms in workers",
    "mlrun in workers",
    "seldon in workers",
    "torchserve in workers",
    "interfaces",
    "lazy names",
    "batching",
    "core",
    "traffic",
    "errors",
    "log writer",
    "version",
)
NO_INPUT_OR_OUTPUT = ("asyncio", "socket", "selectors", "subprocess", "http", "aiohttp")


class Import(NamedTuple):
    module: str
    line: int


def all_files() -> dict[str, Path]:
    """Module name -> file, for everything that is installed."""
    files = {}
    for package in ("archiver", "mms"):
        for file in sorted((ROOT / package).rglob("*.py")):
            parts = list(file.relative_to(ROOT).with_suffix("").parts)
            if parts[-1] == "__init__":
                parts.pop()
            name = ".".join(parts)
            # archiver/compat is no package, but a folder with one.
            files[name.removeprefix("archiver.compat.")] = file
    return files


FILES = all_files()


@functools.cache
def imports_of(module: str) -> tuple[Import, ...]:
    """Every import of a file, those in functions and under TYPE_CHECKING included."""
    return tuple(_read_imports(module))


def _read_imports(module: str) -> Iterator[Import]:
    file = FILES[module]
    package = module if file.name == "__init__.py" else module.rpartition(".")[0]
    for node in nodes(file):
        if isinstance(node, ast.Import):
            for name in node.names:
                yield Import(name.name, node.lineno)
        elif isinstance(node, ast.ImportFrom):
            source = node.module or ""
            if node.level:
                kept = package.split(".")[: len(package.split(".")) - node.level + 1]
                source = ".".join([*kept, *([source] if source else [])])
            for name in node.names:
                submodule = f"{source}.{name.name}"
                imported = submodule if submodule in FILES else source
                yield Import(imported, node.lineno)


def rooms_of(module: str) -> list[str]:
    """The room with the longest matching entry."""
    matches = [
        (len(entry), name)
        for name, room in ROOMS.items()
        for entry in room.files
        if module == entry.removeprefix("=") or module.startswith(f"{entry}.")
    ]
    return [name for _, name in sorted(matches, reverse=True)[:1]]


def is_ours(module: str) -> bool:
    return module.split(".")[0] in PROJECT_PACKAGES


def allowed_rooms(name: str) -> set[str]:
    room = ROOMS[name]
    if room.imports is not None:
        return {name, "text", *room.imports}
    return {name} | {other for other, at in ROOMS.items() if at.layer < room.layer}


def place(module: str, line: int) -> str:
    return f"{FILES[module].relative_to(ROOT)}:{line}"


def test_every_file_belongs_to_a_room() -> None:
    homeless = [str(FILES[module].relative_to(ROOT)) for module in FILES if not rooms_of(module)]
    assert homeless == []


def test_every_room_lies_above_those_it_may_import() -> None:
    for name, room in ROOMS.items():
        for other in room.imports or ():
            assert ROOMS[other].layer < room.layer, f"{name} may import {other}, which is no lower"


def test_no_file_imports_from_a_room_that_is_not_below_its_own() -> None:
    wrong = []
    for module in FILES:
        for room in rooms_of(module):
            for imported in imports_of(module):
                if not is_ours(imported.module):
                    continue
                (target,) = rooms_of(imported.module) or ["no room"]
                if target not in allowed_rooms(room):
                    where = place(module, imported.line)
                    wrong.append(f"{where}: {room} imports {imported.module} of {target}")
    assert wrong == []


def test_every_imported_module_of_the_project_exists() -> None:
    missing = [
        f"{place(module, imported.line)}: {imported.module}"
        for module in FILES
        for imported in imports_of(module)
        if is_ours(imported.module) and imported.module not in FILES
    ]
    assert missing == []


def test_no_files_name_each_other_in_a_circle() -> None:
    """Imports for types count, too: what two files must know of each other belongs into a third."""
    graph = {
        module: sorted(
            {found.module for found in imports_of(module) if found.module in FILES} - {module}
        )
        for module in FILES
    }
    circles = []
    visited: set[str] = set()

    def visit(module: str, path: list[str]) -> None:
        if module in path:
            circles.append(" -> ".join([*path[path.index(module) :], module]))
            return
        if module in visited:
            return
        for other in graph[module]:
            visit(other, [*path, module])
        visited.add(module)

    for module in graph:
        visit(module, [])
    assert circles == []


@pytest.mark.parametrize("room", STANDARD_LIBRARY_ONLY)
def test_what_handlers_and_workers_load_needs_the_standard_library_alone(room: str) -> None:
    foreign = [
        f"{place(module, imported.line)}: {imported.module}"
        for module in FILES
        if rooms_of(module) == [room]
        for imported in imports_of(module)
        if not is_ours(imported.module)
        and imported.module.split(".")[0] not in sys.stdlib_module_names
    ]
    assert foreign == []


def test_the_core_decides_without_sockets_processes_or_a_loop() -> None:
    wrong = [
        f"{place(module, imported.line)}: {imported.module}"
        for module in FILES
        if rooms_of(module) in (["batching"], ["core"])
        for imported in imports_of(module)
        if imported.module.split(".")[0] in NO_INPUT_OR_OUTPUT
    ]
    assert wrong == []
