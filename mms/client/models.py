"""The models of a server: list, describe, register, scale, unregister, wait, logs; without input or output."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias
from urllib.parse import urlencode

from mms.client.answer import Answer, Call, ServerRefused
from mms.client.errors import DeadlineExceeded
from mms.client.predictions import JSON, path_of
from mms.client.steps import Pause, Rules, Steps, answered
from mms.text.brief import brief

#: What the server says of a model: https://github.com/marserve/marserve/blob/main/docs/management-api.md#describe
Description: TypeAlias = "dict[str, Any]"

_NOT_FOUND: Final = 404
#: How often a model is looked at that is waited for, in seconds.
_LOOK_S: Final = 0.25
#: Of a list: one that is longer has no end.
_MOST_NAMES: Final = 1_000_000
#: What each server's description of a model has, and what it is.
_MEMBERS: Final[Mapping[str, type]] = {
    "modelName": str,
    "minWorkers": int,
    "maxWorkers": int,
    "batchSize": int,
    "workers": list,
}


@dataclass(frozen=True, slots=True)
class LogLine:
    """A line of a model's log. `stream`: `stdout`, `stderr`, or `server` for what the server says of the model.

    `time`: in the server's local time. `worker`: empty where the line is of none. `is_gap`: no line, but lines are
    missing here: more came than the server keeps.
    """

    time: str = ""
    level: str = ""
    model: str = ""
    worker: str = ""
    stream: str = ""
    logger: str = ""
    message: str = ""
    is_gap: bool = False

    @classmethod
    def of(cls, members: Mapping[str, Any]) -> LogLine:
        """Raises ServerRefused for members that are no line."""
        if members.get("lost"):
            return cls(is_gap=True)
        try:
            named = ("time", "level", "modelName", "worker", "stream", "logger", "message")
            time, level, model, worker, stream, logger, message = (
                str(members[name]) for name in named
            )
        except KeyError as error:
            raise ServerRefused(f"the answer has a line without {error}") from None
        return cls(time, level, model, worker, stream, logger, message)


def _get(path: str) -> Call:
    return Call("GET", path, is_management=True, is_repeatable=True)


def document(call: Call, rules: Rules) -> Steps[Any]:
    """Return the JSON of an answer that is no error."""
    answer = yield from answered(call, rules)
    return answer.check().json()


def names(rules: Rules) -> Steps[list[str]]:
    """Return the names of all models. Raises ServerRefused for what is no list of them, or has no end."""
    found: list[str] = []
    token: Any = "0"
    asked = set()
    while token is not None:
        asked.add(str(token))
        page = yield from document(_get(f"/models?{urlencode({'next_page_token': token})}"), rules)
        try:
            models = page["models"]
            found += [str(model["modelName"]) for model in models]
            # AWS's server gives a token on a full last page, too: an empty page ends the list, whatever it says.
            token = page.get("nextPageToken") if models else None
        except (LookupError, TypeError, AttributeError):
            raise _strange("a list of models", page) from None
        if str(token) in asked or len(found) > _MOST_NAMES:
            raise ServerRefused(f"the list of models has no end: {len(found)} names so far")
    return found


def versions(name: str, rules: Rules) -> Steps[list[Description]]:
    """Return the descriptions of all versions of a model. Raises ServerRefused for a name that no model has."""
    answer: Answer | None = None
    for path in (path_of("models", name, "all"), path_of("models", name)):
        # The second one is for AWS's server, which knows no versions.
        answer = yield from answered(_get(path), rules)
        if answer.status == 200:
            found = answer.json()
            return [_described(each) for each in (found if isinstance(found, list) else [found])]
    assert answer is not None
    answer.check()
    raise ServerRefused(f"unexpected status {answer.status}", answer)


def every(rules: Rules) -> Steps[list[Description]]:
    """Return the descriptions of all versions of all models; a model that goes meanwhile is left out."""
    found: list[Description] = []
    for name in (yield from names(rules)):
        try:
            found += yield from versions(name, rules)
        except ServerRefused as error:
            if error.status != _NOT_FOUND:
                raise
    return found


def describe(name: str, version: str | None, rules: Rules) -> Steps[Description]:
    found = yield from document(_get(path_of("models", name, version)), rules)
    # TorchServe answers with a list of one.
    return _described(found[0] if isinstance(found, list) and len(found) == 1 else found)


def _described(value: Any) -> Description:
    """Return what is a model's description. Raises ServerRefused: another server may answer there."""
    if not isinstance(value, dict) or not all(
        isinstance(value.get(name), kind) for name, kind in _MEMBERS.items()
    ):
        raise _strange("a model's description", value)
    if not all(isinstance(worker, dict) for worker in value["workers"]):
        raise _strange("a model's description", value)
    return value


def _strange(what: str, value: Any) -> ServerRefused:
    return ServerRefused(f"the answer is not {what}: {brief(value)}")


def scaling(name: str, version: str | None, rules: Rules) -> Steps[dict[str, Any]]:
    path = path_of("models", name, version, "scaling")
    found = yield from document(_get(path), rules)
    if not isinstance(found, dict) or not isinstance(found.get("decisions"), list):
        raise _strange("what is decided of a model's workers", found)
    return found


def register(archive: str | None, parameters: Mapping[str, Any], rules: Rules) -> Steps[str]:
    """Return what the server says it has done."""
    members = {"url": archive, **parameters}
    body = json.dumps({key: value for key, value in members.items() if value is not None})
    call = Call("POST", "/models", body.encode(), {"Content-Type": JSON}, is_management=True)
    return (yield from _told(call, rules))


def scale(
    name: str,
    version: str | None,
    min_workers: int | None,
    max_workers: int | None,
    changes: Mapping[str, Any],
    rules: Rules,
) -> Steps[str]:
    """Return what the server says it has done. `max_workers` None: as many as `min_workers`."""
    query: dict[str, Any] = {}
    if min_workers is not None:
        most = min_workers if max_workers is None else max_workers
        query = {"min_worker": min_workers, "max_worker": most}
    query |= {key: value for key, value in changes.items() if value is not None}
    texts = {
        key: str(value).lower() if isinstance(value, bool) else value
        for key, value in query.items()
    }
    path = f"{path_of('models', name, version)}?{urlencode(texts)}"
    return (yield from _told(Call("PUT", path, is_management=True, is_repeatable=True), rules))


def unregister(name: str, version: str | None, rules: Rules) -> Steps[str]:
    # A second one would not find the model any more.
    call = Call("DELETE", path_of("models", name, version), is_management=True)
    return (yield from _told(call, rules))


def set_default(name: str, version: str, rules: Rules) -> Steps[str]:
    path = path_of("models", name, version, "set-default")
    return (yield from _told(Call("PUT", path, is_management=True, is_repeatable=True), rules))


def _told(call: Call, rules: Rules) -> Steps[str]:
    found = yield from document(call, rules)
    return str(found.get("status", found)) if isinstance(found, dict) else str(found)


def wait(
    name: str,
    version: str | None,
    rules: Rules,
    on_progress: Callable[[Description], object] | None,
) -> Steps[Description]:
    """Return the description of a model once it has as many ready workers as it is to have, within the rules' time.

    A model that is loaded by its first request is ready. Raises ServerRefused where all its workers have failed to
    load, or where no such model is there any more after one was; DeadlineExceeded.
    """
    until = time.monotonic() + rules.timeout_s
    has_been = False
    while True:
        try:
            found = yield from describe(name, version, rules)
            has_been = True
        except ServerRefused as error:
            if error.status != _NOT_FOUND or has_been:
                raise
        else:
            if on_progress is not None:
                on_progress(found)
            wanted = max(found["minWorkers"], 0)
            if ready_workers(found) >= wanted:
                return found
            if found.get("loadError") and not _has_hope(found):
                raise ServerRefused(f"Model {name} could not be loaded: {found['loadError']}")
        if time.monotonic() + _LOOK_S >= until:
            state = "loaded" if has_been else "registered"
            raise DeadlineExceeded(f"Model {name} was not {state} within {rules.timeout_s:g} s.")
        yield Pause(_LOOK_S)


def ready_workers(description: Description) -> int:
    """Return how many workers of a model are ready."""
    return sum(worker.get("status") == "READY" for worker in description.get("workers", ()))


def _has_hope(description: Description) -> bool:
    """Return whether a worker loads, rather than that it waits for its next attempt."""
    return any(
        worker.get("status") in ("READY", "LOADING") and not worker.get("reason")
        for worker in description.get("workers", ())
    )


def logs(name: str | None, lines: int, rules: Rules) -> Steps[list[LogLine]]:
    found = yield from document(_get(logs_path(name, lines)), rules)
    try:
        return [LogLine.of(line) for line in found["lines"]]
    except (LookupError, TypeError, AttributeError):
        raise _strange("of lines", found) from None


def logs_path(name: str | None, lines: int, *, is_followed: bool = False) -> str:
    path = "/logs" if name is None else path_of("models", name, "logs")
    return f"{path}?{urlencode({'lines': lines, **({'follow': 'true'} if is_followed else {})})}"


def following(name: str | None, lines: int) -> Call:
    """Return the call whose answer goes on with each line that comes."""
    return Call(
        "GET",
        logs_path(name, lines, is_followed=True),
        is_management=True,
        is_repeatable=True,
        is_streamed=True,
    )


def sampling(name: str, count: int, seconds: int) -> Call:
    """Return the call whose answer is a line for each sample."""
    query = urlencode({"count": count, "seconds": seconds})
    return Call(
        "GET",
        f"{path_of('models', name, 'samples')}?{query}",
        is_management=True,
        is_streamed=True,
    )


def sample_of(text: bytes) -> dict[str, Any] | None:
    """Return the sample in a line of the answer; None for an empty one. Raises ServerRefused."""
    return _members(text, "samples") if text.strip() else None


def log_line(text: bytes) -> LogLine | None:
    """Return what a line of the answer says; None for an empty one. Raises ServerRefused."""
    return LogLine.of(_members(text, "lines")) if text.strip() else None


def _members(text: bytes, what: str) -> dict[str, Any]:
    """Raises ServerRefused for a text that is no object."""
    try:
        members = json.loads(text)
    except ValueError:
        members = None
    if not isinstance(members, dict):
        raise ServerRefused(f"the answer is not of {what}: {brief(text)}")
    return members
