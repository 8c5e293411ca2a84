"""The rare messages: JSON payloads of HELLO, LOAD, LOADED, READINESS, METRIC and CANCEL frames. Sans-IO."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields
from typing import Any, TypeAlias, TypeVar

from mms.wire.frames import METRIC, ProtocolError, encode_frame

_Message = TypeVar("_Message", bound="Message")

#: Of a message of a worker: to read one takes the front some milliseconds, whatever is in it.
MAX_MESSAGE_BYTES = 512 * 1024


@dataclass(slots=True)
class Message:
    """A message with named members. Unknown members are ignored, so that either side may be newer."""

    def to_payload(self) -> bytes:
        return json.dumps(asdict(self), separators=(",", ":")).encode()

    @classmethod
    def from_payload(cls: type[_Message], payload: bytes | bytearray) -> _Message:
        """Raises ProtocolError for a payload that is no such message."""
        try:
            return cls.from_members(json.loads(payload))
        except (ValueError, TypeError, RecursionError) as error:
            raise ProtocolError(f"not a {cls.__name__} message: {error}") from None

    @classmethod
    def from_members(cls: type[_Message], members: Any) -> _Message:
        """The same of what its JSON says. Raises ValueError and TypeError."""
        if not isinstance(members, dict):
            raise ValueError("it is not an object")
        values: dict[str, Any] = {}
        for name, is_valid, kind in _checks(cls):
            if name in members:
                value = members[name]
                if not is_valid(value):
                    raise ValueError(f"{name} is of another type")
                values[name] = value if kind is None or value is None else kind.from_members(value)
        return cls(**values)


def _is_list_of(kind: type) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, list) and all(isinstance(v, kind) for v in value)


def _is_pairs_of_text(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(pair, list) and len(pair) == 2 and all(isinstance(text, str) for text in pair)
        for pair in value
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


#: The annotation of a member -> whether a value that came as JSON is of its type.
_IS_VALID: dict[str, Callable[[Any], bool]] = {
    "bool": lambda value: isinstance(value, bool),
    "bool | None": lambda value: value is None or isinstance(value, bool),
    "dict[str, Any]": lambda value: isinstance(value, dict),
    "dict[str, Any] | None": lambda value: value is None or isinstance(value, dict),
    "float": _is_number,
    "float | None": lambda value: value is None or _is_number(value),
    "int": _is_whole,
    "int | None": lambda value: value is None or _is_whole(value),
    "list[dict[str, Any]]": _is_list_of(dict),
    "list[dict[str, Any]] | None": lambda value: value is None or _is_list_of(dict)(value),
    "list[str]": _is_list_of(str),
    "list[str] | None": lambda value: value is None or _is_list_of(str)(value),
    "list[tuple[str, str]]": _is_pairs_of_text,
    "str": lambda value: isinstance(value, str),
    "str | None": lambda value: value is None or isinstance(value, str),
}


#: (name, whether a value is of its type, the message that it is)
_Check: TypeAlias = tuple[str, Callable[[Any], bool], type[Message] | None]
_checks_by_kind: dict[type, list[_Check]] = {}


def _checks(kind: type[Message]) -> list[_Check]:
    checks = _checks_by_kind.get(kind)
    if checks is None:
        checks = _checks_by_kind[kind] = [_check_of(f.name, str(f.type)) for f in fields(kind)]
    return checks


def _check_of(name: str, annotation: str) -> _Check:
    is_valid = _IS_VALID.get(annotation)
    if is_valid is not None:
        return name, is_valid, None
    inner = {UrlRules.__name__: UrlRules, RecordOptions.__name__: RecordOptions}
    return name, _IS_VALID["dict[str, Any] | None"], inner[annotation.removesuffix(" | None")]


#: The connection that carries batches and their results.
ROLE_WORK = "work"
#: The connection that is read while the entry point runs: cancel, heartbeat, and the news that the front is gone.
ROLE_CONTROL = "control"
#: The connection that says nothing: its end is the news that the front is gone, to code that hears nothing else.
ROLE_LIFELINE = "lifeline"
#: The connection of a process that has loaded a model and forks workers from it.
ROLE_PARENT = "parent"
#: The connection of what runs a worker on another node: where it runs, what it prints and uses, how it ends.
ROLE_HOST = "host"


@dataclass(slots=True)
class Hello(Message):
    """First frame of a connection, from worker to front."""

    secret: str
    role: str = ROLE_WORK
    runtime: str = ""


@dataclass(slots=True)
class UrlRules(Message):
    """Which addresses a model's code may read that somebody else has named."""

    #: Patterns, one of which matches a whole address; None: all of http(s).
    allowed_urls: list[str] | None = None
    #: Networks besides the public ones, as their setting is written.
    allowed_private_addresses: str = ""
    #: A public host may redirect to these networks.
    has_own_networks: bool = True
    #: Of one content; None: no limit.
    max_bytes: int | None = None


@dataclass(slots=True)
class RecordOptions(Message):
    """Which records a worker makes of its requests."""

    #: Where they go; None: only those of errors are made.
    path: str | None = None
    #: One of how many requests has a record.
    sample: int = 1
    #: How many requests share a record.
    batch: int = 1
    #: Errors have records of their own.
    has_errors: bool = False
    function_uri: str = ""
    labels: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Load(Message):
    """What a worker is to load. Paths are of the worker's machine."""

    model_name: str
    model_version: str | None
    model_dir: str
    handler: str
    batch_size: int = 1
    #: Requests that a running batch has at most, where the model has one.
    running_places: int = 1
    gpu_id: int | None = None
    interface: str = "auto"
    decode_input_request: bool = True
    initialize_errors: str = "fail"
    json_content_type: bool = False
    max_response_bytes: int = 6553500
    #: Answers of a model that failed say what its log says.
    debug_errors: bool = False
    worker_name: str = ""
    #: Arguments of its class: {"name", "value", "type"}.
    parameters: list[dict[str, Any]] = field(default_factory=list)
    #: Where the files are that its `model_uri` names.
    model_files: str | None = None
    #: The models that its code may call: key -> [name, version or None].
    calls: dict[str, Any] = field(default_factory=dict)
    #: Of the body of such a call.
    max_call_bytes: int = 6553500
    records: RecordOptions | None = None
    #: For the places that a client has named for it; None: it names none.
    url_rules: UrlRules | None = None
    #: Setting of a package's stand-in -> `auto`, `shim` or `real`.
    package_choices: dict[str, Any] = field(default_factory=dict)
    #: What only the models of an interface have: name of the interface -> the members of its message.
    of_interfaces: dict[str, Any] = field(default_factory=dict)
    #: What the process may: `rlimits` {name: value}, `user` {uid, gid, groups}.
    confinement: dict[str, Any] = field(default_factory=dict)
    #: A folder of packages that were installed for the model.
    packages: str | None = None
    #: Whether the answer is to tell what the load imports.
    reports_imports: bool = False
    #: What the archive's `model-config.yaml` says, whole: the handler's keys, too.
    model_config: dict[str, Any] = field(default_factory=dict)
    #: The model's folder is its owner's, who changes files in it, and no copy.
    is_in_place: bool = False
    #: What its archive declares of its tensors, as members of a `ModelDeclaration`; None: nothing.
    tensors: dict[str, Any] | None = None
    #: What the model's code logs names the traces of its requests.
    names_traces: bool = False

    @property
    def code_folders(self) -> list[str]:
        """Where the modules of the model are: in the folder of its handler, if that is another one, and in its own."""
        module_part = self.handler.partition(":")[0]
        if "/" not in module_part:
            return [self.model_dir]
        return [os.path.join(self.model_dir, os.path.dirname(module_part)), self.model_dir]

    def part(self, interface: str, kind: type[_Message]) -> _Message:
        """What the models of an interface have. Raises ValueError and TypeError for what is no such message."""
        return kind.from_members(self.of_interfaces.get(interface, {}))


@dataclass(slots=True)
class Loaded(Message):
    """The answer to Load.

    `code`: 200, 507 where memory was short, else 500. `error` is the last line for the client, `traceback` all of it
    for log and describe; with code 200 they tell of an `initialize` that failed and was ignored. `is_ready` is false
    where the model loads on beside its first requests; a Readiness follows.
    """

    code: int
    message: str = ""
    error: str = ""
    traceback: str = ""
    load_s: float = 0.0
    interface: str = "mms"
    is_ready: bool = True
    #: Where the model's code compares a length with its batch size, as `service.py, line 47`; empty: nowhere.
    full_batches: str = ""
    #: Sequences join and leave a running batch: the worker takes no more requests at once than its batch has places.
    is_continuous: bool = False
    #: Why workers cannot be forked from a parent that has loaded the model; empty: they can.
    fork_problem: str = ""
    #: What the load has imported besides the model's own modules: name -> seconds, from about 5 ms on.
    imports: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Readiness(Message):
    """How a load ended that went on after Loaded. `error`: in one line why the model is not ready."""

    is_ready: bool
    error: str = ""


@dataclass(slots=True)
class Metric(Message):
    """Metrics of a handler.

    Each of `lines` is `<Name>.<Unit>:<value>|#<dimensions>|#hostname:<host>,<epoch>[,<request ids>]`. `series` are for
    Prometheus: `{"type", "name", "labels", "value"}`, the type counter, gauge or histogram (value in seconds).
    """

    lines: list[str]
    series: list[dict[str, Any]] = field(default_factory=list)


def encode_metrics(
    lines: list[str], series: list[dict[str, Any]], on_left_out: Callable[[int], None]
) -> list[bytes]:
    """METRIC frames, as many as it takes. `on_left_out` is told the size of one metric that alone is too large.

    Names and labels are the model's, so that nothing in them may keep it from being written.
    """
    # As Metric.to_payload, which copies all of it first.
    members = {"lines": lines, "series": series}
    payload = json.dumps(members, default=repr, skipkeys=True, separators=(",", ":")).encode()
    if len(payload) <= MAX_MESSAGE_BYTES:
        return [encode_frame(METRIC, 0, payload)]
    if lines and series:
        parts: list[tuple[list[str], list[dict[str, Any]]]] = [(lines, []), ([], series)]
    elif len(lines) + len(series) == 1:
        on_left_out(len(payload))
        return []
    else:
        half = (len(lines) + len(series)) // 2
        parts = [(lines[:half], series[:half]), (lines[half:], series[half:])]
    return [frame for part in parts for frame in encode_metrics(*part, on_left_out)]


@dataclass(slots=True)
class Cancel(Message):
    """Requests whose clients are gone, by id."""

    request_ids: list[str]
