"""What the API description says of a route, in the words of OpenAPI 3.0."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

JSON: Final = "application/json"
TEXT: Final[dict[str, Any]] = {"type": "string"}
OBJECT: Final[dict[str, Any]] = {"type": "object"}
BINARY: Final[dict[str, Any]] = {"*/*": {"schema": {"type": "string", "format": "binary"}}}


@dataclass(frozen=True)
class Parameter:
    """A parameter of a query. `enum`: the words that it may be; empty: any."""

    name: str
    text: str
    type: str = "string"
    default: Any = None
    enum: Sequence[str] = ()
    is_required: bool = False

    def schema(self) -> dict[str, Any]:
        schema: dict[str, Any] = {"type": self.type}
        if self.enum:
            schema["enum"] = list(self.enum)
        if self.default is not None:
            schema["default"] = self.default
        return schema

    def document(self, where: str = "query") -> dict[str, Any]:
        return {
            "in": where,
            "name": self.name,
            "description": self.text,
            "required": self.is_required,
            "schema": self.schema(),
        }


#: What descriptions say of the variables of patterns.
PATH_VARIABLES: Final = {
    "region": "The name of a region of shared memory.",
    "model_name": "Name of the model.",
    "model_version": "Version of the model.",
    "model": "Name of the model, or name:version.",
}


@dataclass(frozen=True)
class Operation:
    """`method`: the one that is described, in lower case. `id`: unique among all. `tag`: the protocol, empty for MMS's.

    `parameters`: of the query. `body`: an OpenAPI request body. `verb`: what stands behind the last name of the path,
    such as `:predict`.
    """

    method: str
    id: str
    text: str
    responses: Mapping[str, Any]
    parameters: Sequence[Parameter] = ()
    body: Mapping[str, Any] | None = None
    is_deprecated: bool = False
    tag: str = ""
    verb: str = ""

    def document(self, variables: Sequence[str]) -> dict[str, Any]:
        """Return the OpenAPI operation. `variables`: those of the path's pattern."""
        in_path = [Parameter(name, PATH_VARIABLES[name], is_required=True) for name in variables]
        operation: dict[str, Any] = {"description": self.text, "operationId": self.id}
        if self.tag:
            operation["tags"] = [self.tag]
        operation["parameters"] = [
            *(parameter.document("path") for parameter in in_path),
            *(parameter.document() for parameter in self.parameters),
        ]
        if self.body is not None:
            operation["requestBody"] = dict(self.body)
        operation["responses"] = dict(self.responses)
        if self.is_deprecated:
            operation["deprecated"] = True
        return operation


# The parts that operations are made of


def described(type_: str, text: str) -> dict[str, Any]:
    return {"type": type_, "description": text}


def object_of(required: list[str], **properties: Any) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "object", "properties": properties}
    if required:
        schema["required"] = required
    return schema


ERROR: Final = object_of(
    ["code", "type", "message"],
    code=described("integer", "HTTP status."),
    type=described("string", "Kind of the error."),
    message=described("string", "What is wrong."),
)
STATUS: Final = object_of(["status"], status=described("string", "What was done."))
_ERRORS: Final = {
    "400": "Bad request",
    "404": "Model not found",
    "408": "Not done in time",
    "409": "Name and version are taken",
    "500": "Internal Server Error",
    "503": "Not ready, or no worker can take the request",
}
_STATUSES: Final = {"202": "Accepted", "210": "Partial Success"}


def answer(text: str, schema: Any, media_type: str = JSON) -> dict[str, Any]:
    return {"description": text, "content": {media_type: {"schema": schema}}}


def errors(*codes: str) -> dict[str, Any]:
    return {code: answer(_ERRORS[code], ERROR) for code in codes}


def statuses(done: str, *codes: str) -> dict[str, Any]:
    """Answers of 200 and further codes that say what was done."""
    return {code: answer(_STATUSES.get(code, done), STATUS) for code in ("200", *codes)}
