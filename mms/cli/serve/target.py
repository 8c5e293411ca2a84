"""What a path on the command line is: an archive, code with a handler, or a saved model."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from archiver.detection import detect
from archiver.layouts import InvalidLayout, find_layout
from archiver.source import bound_names, module_level
from mms.interfaces import DEFAULT, INTERFACES
from mms.text.python_source import MAX_SOURCE_BYTES, tree_of

#: The server for saved models by the ending of their file.
_SAVED: Final = {
    **dict.fromkeys((".joblib", ".pkl", ".pickle", ".skops"), "sklearn"),
    **dict.fromkeys((".bst", ".ubj"), "xgboost"),
    ".onnx": "onnx",
    **dict.fromkeys((".pt", ".pth", ".pt2"), "pytorch"),
    **dict.fromkeys((".keras", ".h5"), "tensorflow"),
}
#: Files that make a folder a saved model, and its server.
_SAVED_FOLDERS: Final = {
    "MLmodel": "mlflow",
    "saved_model.pb": "tensorflow",
    "saved_model.pbtxt": "tensorflow",
    # Another ending says nothing of what is in it.
    "model.json": "xgboost",
}
_ARCHIVES: Final = (".mar", ".model", ".tar.gz", ".tgz", ".zip")
_GRAPHS: Final = (".yaml", ".yml")
_MANIFESTS: Final = ("MAR-INF/MANIFEST.json", "MANIFEST.json")
#: What volumes of TorchServe's runtime of KServe have, beside `config`.
_TORCHSERVE_STORE: Final = "model-store"
#: Links may lead back.
_MOST_DEPTH: Final = 2
_ENTRY: Final = "handle"
#: Of a folder; more are not looked at, nor named in a message.
_MOST_SOURCES: Final = 200
_MOST_NAMES: Final = 8
_NO_SOURCES: Final = re.compile(r"test_.*|.*_test|conftest|setup|[_.].*")


class NoModel(Exception):
    """Nothing at the path can be served. The message says what would be."""


@dataclass(frozen=True, slots=True)
class Target:
    """`registration`: its members; `what`: for people; `followed`: whose changes are changes of the model."""

    registration: dict[str, Any]
    what: str
    followed: Path


def find_target(path: Path, handler: str | None = None) -> Target:
    """Return what lies at a path. `handler`: the entry point, where the user names it. Blocks. Raises NoModel."""
    # Not with links followed: the name that the user has given is the model's.
    path = path.absolute()
    if ".." in path.parts or not path.name:
        path = path.resolve()
    if path.is_dir():
        return _of_folder(path, handler)
    name = path.name.lower()
    if name.endswith(".py"):
        return _code(path.parent, path, _handler_of_file(path, handler), path.stem)
    if name.endswith((*_ARCHIVES, *_GRAPHS)):
        return _archive(path, handler)
    server = "xgboost" if name.endswith(".json") else _SAVED.get(path.suffix.lower())
    if server is None:
        raise NoModel(
            f"{path.name} is nothing that can be served: a folder, a .py file, an archive (.mar), or a saved model "
            f"({', '.join(_SAVED)}) is"
        )
    _refuse_handler(path, handler)
    return _saved(path, server, path.stem)


def _of_folder(folder: Path, handler: str | None, depth: int = 0) -> Target:
    """`depth`: how far it is below the folder that the user has named."""
    try:
        is_complete = (
            any((folder / name).is_file() for name in _MANIFESTS)
            or find_layout(folder) is not None
            or any(
                (folder / each.document_name).is_file() for each in INTERFACES if each.document_name
            )
        )
    except (InvalidLayout, OSError) as error:
        raise NoModel(str(error)) from None
    if is_complete:
        return _archive(folder, handler)
    if handler is not None:
        return _code(folder, folder, handler, folder.name)
    for name, server in _SAVED_FOLDERS.items():
        if (folder / name).is_file():
            return _saved(folder, server, folder.name)
    try:
        files = sorted(file for file in folder.iterdir() if file.is_file())
    except OSError as error:
        raise NoModel(f"{folder} cannot be read: {error.strerror}") from None
    sources = [
        file for file in files if file.suffix == ".py" and not _NO_SOURCES.fullmatch(file.stem)
    ]
    handlers = [file for file in sources[:_MOST_SOURCES] if _is_handler(file)]
    if not handlers and len(sources) == 1 and _tree(sources[0]) is None:
        # It fails with its traceback when it is loaded.
        handlers = sources
    if len(handlers) == 1:
        return _code(folder, folder, handlers[0].stem, folder.name)
    if handlers:
        raise NoModel(
            f"{folder} has several files with a handler ({_names(handlers)}); "
            f"--handler {handlers[0].stem} chooses one"
        )
    saved = [file for file in files if file.suffix.lower() in _SAVED]
    servers = {_SAVED[file.suffix.lower()] for file in saved}
    if servers == {"pytorch"}:
        # The class of its weights lies beside it.
        return _saved(folder, "pytorch", folder.name)
    if len(saved) == 1:
        return _saved(saved[0], _SAVED[saved[0].suffix.lower()], folder.name)
    if saved:
        raise NoModel(f"{folder} has several saved models ({_names(saved)}); name one of them")
    archives = [file for file in files if file.name.endswith(_ARCHIVES)]
    if len(archives) == 1:
        return _archive(archives[0], handler)
    if archives:
        raise NoModel(
            f"{folder} holds archives: name one ({_names(archives)}), or serve all of them by "
            f"multi-model-server --start --model-store {folder} --models ALL"
        )
    if sources:
        raise NoModel(
            f"no file of {folder} has a handler, a function `{_ENTRY}(data, context)` or a class of a known interface; "
            f"it has {_names(sources)}. --handler FILE:NAME names another function or class; `mms new` writes one"
        )
    inner = _only_folder(folder) if depth < _MOST_DEPTH else None
    if inner is not None:
        return _of_folder(inner, handler, depth + 1)
    raise NoModel(
        f"{folder} has no model: no .py file with a handler, no MAR-INF and no saved model. `mms new` writes a model"
    )


def _only_folder(folder: Path) -> Path | None:
    """Return the folder that a folder without a model of its own has for one: the only one, as a volume's, or the store
    of TorchServe's layout."""
    if (folder / _TORCHSERVE_STORE).is_dir():
        return folder / _TORCHSERVE_STORE
    inner = [each for each in folder.iterdir() if each.is_dir() and each.name[0] not in "._"]
    return inner[0] if len(inner) == 1 else None


def _handler_of_file(file: Path, handler: str | None) -> str:
    """Return the handler of a file of code, where the user may have said its name alone."""
    if handler is not None:
        is_whole = ":" in handler or handler.removesuffix(".py") == file.stem
        return handler if is_whole else f"{file.stem}:{handler}"
    tree = _tree(file)
    if tree is None or _is_handler(file):
        # What cannot be parsed fails with its traceback when it is loaded.
        return file.stem
    names = [
        node.name
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        and not node.name.startswith("_")
    ]
    has = f"it has {', '.join(names[:_MOST_NAMES])}" if names else "it has no function or class"
    raise NoModel(
        f"{file.name} has no function `{_ENTRY}(data, context)` and no class of a known interface; {has}. "
        f"--handler NAME names the function or class that answers requests"
    )


def _is_handler(file: Path) -> bool:
    """Return whether a module alone is a handler, as far as its source shows it."""
    tree = _tree(file)
    if tree is None:
        return False
    bound = {name for node in module_level(tree.body) for name in bound_names(node)}
    if _ENTRY in bound:
        return True
    classes = [node for node in module_level(tree.body) if isinstance(node, ast.ClassDef)]
    with_entry = [
        node for node in classes if any(_ENTRY in bound_names(part) for part in node.body)
    ]
    if len(with_entry) == 1:
        return True
    found = detect(file.stem, lambda name: _read(file.parent / name))
    return found.interface is not DEFAULT


def _tree(file: Path) -> ast.Module | None:
    source = _read(file)
    return None if source is None else tree_of(source, file.name)


def _read(file: Path) -> bytes | None:
    try:
        if not file.is_file() or file.stat().st_size > MAX_SOURCE_BYTES:
            return None
        return file.read_bytes()
    except OSError:
        return None


def _code(folder: Path, path: Path, handler: str, name: str) -> Target:
    registration = {"folder": str(folder), "handler": handler, "model_name": _fit(name)}
    return Target(registration, f"{handler} of {path}", folder)


def _archive(path: Path, handler: str | None) -> Target:
    registration = {"url": _uri(path)}
    if handler is not None:
        registration["handler"] = handler
    return Target(registration, str(path), path)


def _saved(path: Path, server: str, name: str) -> Target:
    registration = {"prepackaged": server, "model_uri": _uri(path), "model_name": _fit(name)}
    return Target(registration, f"{path} ({server})", path)


def _refuse_handler(path: Path, handler: str | None) -> None:
    if handler is not None:
        raise NoModel(f"{path.name} is a saved model, which has no code that --handler could name")


def _uri(path: Path) -> str:
    return f"file://{quote(str(path))}"


def _fit(name: str) -> str:
    """Return a name that a model may have."""
    return re.sub(r"[^\w.\-]", "_", name) or "model"


def _names(files: list[Path]) -> str:
    names = [file.name for file in files[:_MOST_NAMES]]
    return ", ".join([*names, *(["..."] if len(files) > _MOST_NAMES else [])])
