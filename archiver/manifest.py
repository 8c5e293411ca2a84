"""The manifest of an archive as a value: parse, validate, change, write.

Two file formats are read into one value: `MAR-INF/MANIFEST.json` as MMS 1.0 and TorchServe write it, and the top-level
`MANIFEST.json` of MMS 0.1 to 0.4 ("legacy"), whose fields are mapped to the names of 1.0. Fields that nobody here knows
are kept.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from typing import Any, Final

from archiver.errors import InvalidManifest
from mms.registration import RUNTIMES, is_runtime
from mms.text.brief import brief

MANIFEST_NAME: Final = "MAR-INF/MANIFEST.json"
LEGACY_MANIFEST_NAME: Final = "MANIFEST.json"

# Real manifests have a few hundred bytes; the limit keeps a hostile archive from filling the memory of its reader.
MAX_MANIFEST_BYTES: Final = 4 * 1024 * 1024

# Far above any real manifest, and low enough that copying and writing the document never meets Python's own limit.
_MAX_DEPTH: Final = 100

# MMS calls the manifest so in this one message; clients know the text.
_UNREADABLE: Final = "Failed to parse signature.json."
_TOO_DEEP: Final = "it is nested too deeply"
_NO_MODEL: Final = "Missing Model entry in manifest file."

_TEXT_FIELDS: Final = (
    "runtime",
    "license",
    "description",
    "modelServerVersion",
    "implementationVersion",
    "specificationVersion",
    "archiverVersion",
    "createdOn",
)
_MODEL_TEXT_FIELDS: Final = (
    "modelName",
    "handler",
    "description",
    "modelVersion",
    "serializedFile",
    "modelFile",
    "requirementsFile",
    "configFile",
    "envelope",
)
_ENGINE_TEXT_FIELDS: Final = ("engineName", "engineVersion")
_PUBLISHER_TEXT_FIELDS: Final = ("author", "email")


class Manifest:
    """An archive's manifest. Immutable; equal when the documents are equal.

    A property is None where the document has no such field. `runtime` is `python` when the field is absent and None
    when it is there but null.
    """

    __slots__ = ("_document", "is_legacy")

    def __init__(self, document: Mapping[str, Any], *, is_legacy: bool = False) -> None:
        """`document`: the JSON object of a 1.0 manifest. Raises InvalidManifest where a field has the wrong type."""
        self._document = _checked(document, document)
        self.is_legacy = is_legacy

    @classmethod
    def parse(cls, data: bytes | str) -> Manifest:
        """Reads the text of a `MAR-INF/MANIFEST.json`. Raises InvalidManifest."""
        document, as_written = _load(data)
        return cls(_checked(document, as_written))

    @classmethod
    def parse_legacy(cls, data: bytes | str) -> Manifest:
        """Reads the text of a `MANIFEST.json` of MMS 0.1 to 0.4. Raises InvalidManifest."""
        document, as_written = _load(data)
        return cls(_from_legacy(document, as_written), is_legacy=True)

    @classmethod
    def create(
        cls,
        *,
        model_name: str,
        handler: str,
        runtime: str = "python",
        model_version: str | None = None,
        model_description: str | None = None,
        extensions: Mapping[str, Any] | None = None,
        engine_name: str | None = None,
        engine_version: str | None = None,
        license: str | None = None,
        description: str | None = None,
        user_data: Any = None,
        author: str | None = None,
        email: str | None = None,
    ) -> Manifest:
        """Return a new 1.0 manifest, its keys in the order in which MMS's archiver writes them."""
        model = {
            "modelName": model_name,
            "handler": handler,
            "description": model_description,
            "modelVersion": model_version,
            "extensions": None if extensions is None else dict(extensions),
        }
        engine = {"engineName": engine_name, "engineVersion": engine_version}
        publisher = {"author": author, "email": email}
        document = {
            "runtime": runtime,
            "model": _without_none(model),
            "engine": _without_none(engine) or None,
            "license": license,
            "modelServerVersion": "1.0",
            "description": description,
            "implementationVersion": "1.0",
            "specificationVersion": "1.0",
            "userData": user_data,
            "publisher": _without_none(publisher) or None,
        }
        return cls(_without_none(document))

    def with_overrides(
        self,
        *,
        model_name: str | None = None,
        handler: str | None = None,
        runtime: str | None = None,
        default_handler: str | None = None,
    ) -> Manifest:
        """Return this manifest with a registration's values in place of its own; empty texts override nothing.

        `default_handler` counts only where neither the registration nor the manifest names a handler.
        """
        document = self.to_dict()
        model = document.setdefault("model", {})
        if model_name:
            model["modelName"] = model_name
        handler = handler or self.handler or default_handler
        if handler:
            model["handler"] = handler
        if runtime:
            document["runtime"] = runtime
        return Manifest(document, is_legacy=self.is_legacy)

    def validate(self) -> None:
        """Raise InvalidManifest with MMS's message for the first thing a server misses here."""
        if not self.model_name:
            raise InvalidManifest("Model name is not defined.")
        if not self.handler:
            raise InvalidManifest("Model handler is not defined.")
        if not is_runtime(self.runtime):
            raise InvalidManifest(
                "Runtime is not defined or invalid.",
                f"runtime is {self.runtime!r}; possible are {', '.join(RUNTIMES)} or an interpreter's absolute path",
            )
        if self._document.get("engine") is not None and self.engine_name is None:
            raise InvalidManifest("engineName is required in <engine>.")

    def to_dict(self) -> dict[str, Any]:
        """Return a copy of the document, unknown fields included. Legacy fields appear under their 1.0 names."""
        return copy.deepcopy(self._document)

    def to_json(self) -> str:
        return json.dumps(self._document, indent=2)

    @property
    def model_name(self) -> str | None:
        return self._model_text("modelName")

    @property
    def handler(self) -> str | None:
        """`module:name`, with `module` a file or a dotted module name and `:name` optional."""
        return self._model_text("handler")

    @property
    def model_version(self) -> str | None:
        return self._model_text("modelVersion")

    @property
    def model_description(self) -> str | None:
        return self._model_text("description")

    @property
    def extensions(self) -> dict[str, Any]:
        """`model.extensions`, a free map; empty where there is none."""
        return copy.deepcopy(self._object("model").get("extensions") or {})

    @property
    def serialized_file(self) -> str | None:
        return self._model_text("serializedFile")

    @property
    def model_file(self) -> str | None:
        return self._model_text("modelFile")

    @property
    def requirements_file(self) -> str | None:
        return self._model_text("requirementsFile")

    @property
    def config_file(self) -> str | None:
        return self._model_text("configFile")

    @property
    def runtime(self) -> str | None:
        return _text(self._document.get("runtime", "python"))

    @property
    def engine_name(self) -> str | None:
        return _text(self._object("engine").get("engineName"))

    @property
    def engine_version(self) -> str | None:
        return _text(self._object("engine").get("engineVersion"))

    @property
    def license(self) -> str | None:
        return _text(self._document.get("license"))

    @property
    def description(self) -> str | None:
        return _text(self._document.get("description"))

    @property
    def author(self) -> str | None:
        return _text(self._object("publisher").get("author"))

    @property
    def email(self) -> str | None:
        return _text(self._object("publisher").get("email"))

    @property
    def user_data(self) -> Any:
        return copy.deepcopy(self._document.get("userData"))

    @property
    def specification_version(self) -> str | None:
        return _text(self._document.get("specificationVersion"))

    def _object(self, key: str) -> dict[str, Any]:
        value = self._document.get(key)
        return value if isinstance(value, dict) else {}

    def _model_text(self, key: str) -> str | None:
        return _text(self._object("model").get(key))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Manifest):
            return NotImplemented
        return self._document == other._document and self.is_legacy == other.is_legacy

    def __hash__(self) -> int:
        return hash((self.model_name, self.model_version, self.handler))

    def __repr__(self) -> str:
        return (
            f"Manifest(model_name={self.model_name!r}, model_version={self.model_version!r}, "
            f"handler={self.handler!r}, runtime={self.runtime!r}, is_legacy={self.is_legacy})"
        )


def _load(data: bytes | str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the JSON object in `data`, and the same with numbers as the text they are written in.

    The second exists for fields such as `"modelVersion": 1.10`, which is version 1.10 and not 1.1.
    """
    try:
        text = data if isinstance(data, str) else data.decode("utf-8-sig")
        document = json.loads(text, parse_constant=_refuse_constant)
        as_written = json.loads(text, parse_int=str, parse_float=str)
    except RecursionError:
        raise InvalidManifest(_UNREADABLE, _TOO_DEEP) from None
    except ValueError as error:  # UnicodeDecodeError and JSONDecodeError among them
        raise InvalidManifest(_UNREADABLE, str(error)) from None
    if _is_deeper_than(document, _MAX_DEPTH):
        raise InvalidManifest(_UNREADABLE, _TOO_DEEP)
    if not isinstance(document, dict):
        raise InvalidManifest(_UNREADABLE, "a manifest is a JSON object")
    return document, as_written


def _is_deeper_than(value: Any, limit: int) -> bool:
    level = [value]
    for _ in range(limit):
        nested: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                nested.extend(item.values())
            elif isinstance(item, list):
                nested.extend(item)
        if not nested:
            return False
        level = nested
    return True


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _checked(document: Mapping[str, Any], as_written: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy whose known text fields are texts or null. Raises InvalidManifest for a wrong type."""
    checked = copy.deepcopy(dict(document))
    if "model" in checked and checked["model"] is None:
        raise InvalidManifest(_NO_MODEL)
    _make_texts(checked, as_written, _TEXT_FIELDS, "")
    for key, fields in (
        ("model", _MODEL_TEXT_FIELDS),
        ("engine", _ENGINE_TEXT_FIELDS),
        ("publisher", _PUBLISHER_TEXT_FIELDS),
    ):
        value = _object_at(checked, key)
        if value is not None:
            _make_texts(value, as_written[key], fields, f"{key}.")
    model = checked.get("model")
    if isinstance(model, dict):
        _object_at(model, "extensions", "model.")
    return checked


def _object_at(document: Mapping[str, Any], key: str, where: str = "") -> dict[str, Any] | None:
    value = document.get(key)
    if value is not None and not isinstance(value, dict):
        raise InvalidManifest(_UNREADABLE, f'"{where}{key}" must be an object, not {brief(value)}')
    return value


def _make_texts(
    target: dict[str, Any], as_written: Mapping[str, Any], keys: tuple[str, ...], where: str
) -> None:
    for key in keys:
        value = target.get(key)
        if value is None or isinstance(value, str):
            continue
        if isinstance(value, bool):
            target[key] = "true" if value else "false"
        elif isinstance(value, (int, float)):
            target[key] = str(as_written[key])
        else:
            raise InvalidManifest(_UNREADABLE, f'"{where}{key}" must be a text, not {brief(value)}')


def _from_legacy(document: dict[str, Any], as_written: dict[str, Any]) -> dict[str, Any]:
    """Return the 1.0 document that says what a legacy one says."""
    model = _object_at(document, "Model")
    if model is None:
        raise InvalidManifest(_NO_MODEL)
    written_model = as_written["Model"]
    _make_texts(
        model,
        written_model,
        ("Model-Name", "Service", "Description", "Parameters", "Symbol"),
        "Model.",
    )
    if not model.get("Service"):
        raise InvalidManifest("Missing Service entry in MANIFEST.json")
    _make_texts(document, as_written, ("License", "Model-Archive-Description"), "")
    publisher = _object_at(document, "Created-By") or {}
    _make_texts(
        publisher, as_written.get("Created-By") or {}, ("Author", "Author-Email"), "Created-By."
    )
    engine_version = (_object_at(document, "Engine") or {}).get("MXNet")
    has_engine = isinstance(engine_version, (int, float)) and not isinstance(engine_version, bool)
    extensions = {"parametersFile": model.get("Parameters"), "symbolFile": model.get("Symbol")}
    converted_model = {
        "modelName": model.get("Model-Name"),
        "handler": model["Service"],
        "description": model.get("Description"),
        "modelVersion": "snapshot",
        "extensions": _without_none(extensions) or None,
    }
    converted = {
        "runtime": "python",
        "model": _without_none(converted_model),
        "engine": {"engineName": "MXNet", "engineVersion": str(as_written["Engine"]["MXNet"])}
        if has_engine
        else None,
        "license": document.get("License"),
        "description": document.get("Model-Archive-Description"),
        "specificationVersion": "0.1",
        "publisher": _without_none(
            {"author": publisher.get("Author"), "email": publisher.get("Author-Email")}
        )
        or None,
    }
    return _without_none(converted)


def _without_none(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in fields.items() if value is not None}


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None
