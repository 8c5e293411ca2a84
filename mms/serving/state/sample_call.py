"""A request that a model is likely to answer, for a person who tries it."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from mms.interfaces import AUTO, INTERFACES, find_interface, part
from mms.serving.served import ServedModel
from mms.serving.watched.model_swap import SAMPLE
from mms.settings import Address
from mms.text.media_type import BINARY, media_type_of

#: Whoever has written a handler knows better; one that takes any JSON answers it.
_ANY_BODY = '{"text": "hello"}'
_JSON = "application/json"
#: The largest body that a command shows, in bytes; others are named by their file.
_MOST_TYPED = 200


class SampleCall(NamedTuple):
    """A POST. `path`: of the inference API; `body`: text, or `@` and a file, as curl has it."""

    path: str
    body: str
    content_type: str = _JSON

    def as_curl(self, address: Address) -> str:
        """Return the command that sends it."""
        flag = "--data-binary" if self.body.startswith("@") else "-d"
        words = [*curl_words(address, self.path), "-H", f"Content-Type: {self.content_type}"]
        return shlex.join(["curl", *words, flag, self.body])


def curl_words(address: Address, path: str) -> list[str]:
    """Return what curl needs to reach a path of a listener."""
    if address.scheme == "unix":
        return ["--unix-socket", address.path, f"http://localhost{path}"]
    return [*(["-k"] if address.is_tls else []), f"{address.reachable}{path}"]


def prediction_path(name: str) -> str:
    """Return where each model answers, whatever its interface."""
    return f"/predictions/{quote(name, safe='')}"


def _short_line(file: Path) -> str:
    """Return what a file has where that can be typed, else "". The file of an archive goes when it is loaded anew."""
    with file.open("rb") as opened:
        content = opened.read(_MOST_TYPED + 1)
    if len(content) > _MOST_TYPED:
        return ""
    text = content.decode("utf-8", "replace").removesuffix("\n")
    # curl reads a file where a body begins with @, and takes no empty one.
    is_typed = text.isprintable() and "\N{REPLACEMENT CHARACTER}" not in text
    return text if is_typed and not text.startswith("@") else ""


def sample_call(served: ServedModel) -> SampleCall:
    """Return the request of the model's own file, else one of what it declares, else one of its interface. Blocks."""
    path = prediction_path(served.name)
    for file in sorted(served.archive.folder.glob(SAMPLE)):
        content_type = media_type_of(file.name) or BINARY
        return SampleCall(path, _short_line(file) or f"@{file}", content_type)
    own = [] if served.interface == AUTO else [find_interface(served.interface)]
    # Clients of tensors may ask any model that declares some.
    for interface in [*(each for each in INTERFACES if each.codecs), *own]:
        found = part(interface.sample)(served) if interface.sample else None
        if found is not None:
            where, body = found
            return SampleCall(where or path, json.dumps(body))
    return SampleCall(path, _ANY_BODY)
