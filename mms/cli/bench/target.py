"""What a load test asks: a model of a server, or any url; with bodies from files."""

from __future__ import annotations

import ssl
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, urlsplit

import click

from mms.text.brief import brief
from mms.text.media_type import media_type_of_body

if TYPE_CHECKING:
    from mms.client import AsyncClient, Client
    from mms.load_test import FirstAnswer, LoadPlan, LoadRequest, Target
    from mms.text.address import Address

#: All bodies are in memory, twice.
_MOST_BYTES: Final = 512 * 1024 * 1024
_MOST_BODIES: Final = 10_000
#: Requests that are asked once before the load.
_MOST_FIRST: Final = 20
_FIRST_REDIRECT: Final = 300
_SHOWN_CHARS: Final = 300
_NO_BODY: Final = " It had no body: -d or -f gives one."


@dataclass(frozen=True, slots=True)
class Body:
    """What one request carries. `name`: of its file."""

    content: bytes
    content_type: str
    name: str = ""
    #: The user has said the content type.
    is_named: bool = False


@dataclass(frozen=True, slots=True)
class Place:
    """Where requests go. `shown` is for people and reports: it has no secrets."""

    target: Target
    path: str
    headers: Mapping[str, str]
    shown: str


def read_bodies(files: Sequence[str], data: str | None, content_type: str | None) -> list[Body]:
    """Return the bodies of `-f` and `-d`; one empty body where there is neither. Raises click's errors."""
    found = [(path, _read(path)) for given in files for path in _files_of(given)]
    if data is not None:
        found.append(("", data.encode("utf-8", "surrogateescape")))
    if len(found) > _MOST_BODIES or sum(len(body) for _, body in found) > _MOST_BYTES:
        raise click.ClickException(
            f"The bodies are {len(found):,} with {sum(len(b) for _, b in found):,} bytes; {_MOST_BODIES:,} with "
            f"{_MOST_BYTES:,} are the most."
        )
    return [
        Body(body, content_type or media_type_of_body(body, name), name, content_type is not None)
        for name, body in found or [("", b"")]
    ]


def _files_of(given: str) -> list[str]:
    path = Path(given)
    if given == "-" or not path.is_dir():
        return [given]
    found = [str(each) for each in sorted(path.iterdir()) if each.is_file() and each.name[0] != "."]
    if not found:
        raise click.BadParameter(f"the folder {given} has no files", param_hint="-f")
    return found


def _read(path: str) -> bytes:
    try:
        if path == "-":
            return sys.stdin.buffer.read(_MOST_BYTES + 1)
        with open(path, "rb") as opened:
            # A device may have no end.
            return opened.read(_MOST_BYTES + 1)
    except OSError as error:
        raise click.BadParameter(
            f"{path} cannot be read: {error.strerror}", param_hint="-f"
        ) from None


def read_headers(given: Sequence[str]) -> dict[str, str]:
    """Return the headers of `-H`. Raises click's errors."""
    headers: dict[str, str] = {}
    for line in given:
        name, colon, value = line.partition(":")
        is_name = (
            name and all(c.isalnum() or c in "!#$%&'*+-.^_`|~" for c in name) and name.isascii()
        )
        try:
            value.encode("latin-1")
        except UnicodeEncodeError:
            is_name = False
        if not (colon and is_name and value.isprintable()):
            raise click.BadParameter(
                f"{brief(line)} is no header; 'X-Name: value' is right", param_hint="-H"
            )
        if name.lower() in ("content-length", "transfer-encoding", "connection", "host"):
            raise click.BadParameter(f"the load generator sets {name} itself", param_hint="-H")
        headers[name] = value.strip()
    return headers


def model_place(
    client: Client | AsyncClient, name: str, version: str | None, tls: ssl.SSLContext | None
) -> Place:
    """Return where a model answers, with the key of MMS_API_KEY if there is one."""
    from mms.client.answer import Call
    from mms.client.predictions import path_of

    path = "/predictions" + path_of(name, version)
    address = client.place.inference.reachable
    headers = client.place.headers(Call("POST", path))
    return Place(target_of(address, tls), path, headers, f"{address}{path}")


def target_of(address: Address, tls: ssl.SSLContext | None) -> Target:
    from mms.load_test import Target

    if address.scheme == "unix":
        return Target(unix_path=address.path)
    return Target(address.host, address.port, tls=tls if address.is_tls else None)


@dataclass(frozen=True, slots=True)
class Url:
    """An http or https url, taken apart. `path` has the query."""

    address: Address
    path: str
    #: As it stands in the url; `Host` where it is reached through a socket.
    authority: str
    shown: str


def read_url(text: str) -> Url:
    """Raises click's errors."""
    from mms.text.address import Address

    hint = "http://host:port/path or https://host:port/path is right"
    try:
        parts = urlsplit(text)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        host = parts.hostname
    except ValueError as error:
        raise click.BadParameter(
            f"{brief(text)} is no url ({error}); {hint}", param_hint="TARGET"
        ) from None
    if parts.scheme not in ("http", "https") or not host:
        raise click.BadParameter(f"{brief(text)} is no url; {hint}", param_hint="TARGET")
    if parts.username is not None or parts.password is not None:
        raise click.BadParameter(
            "a url has no user and password here; -H 'Authorization: Basic ...' sends them",
            param_hint="TARGET",
        )
    path = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~-._")
    query = quote(parts.query, safe="/%:@!$&'()*+,;=~-._?")
    address = Address(parts.scheme, host, port)
    # A query may hold a key.
    return Url(
        address,
        f"{path}?{query}" if query else path,
        parts.netloc,
        f"{address}{path}{'?...' if query else ''}",
    )


def make_requests(
    place: Place, bodies: Sequence[Body], headers: Mapping[str, str], method: str
) -> list[LoadRequest]:
    """Return the requests of the load. `headers` are stronger than those of the place and the bodies."""
    from mms.load_test import LoadRequest

    given = {name.lower() for name in headers}
    made = []
    for body in bodies:
        own = dict(place.headers)
        if body.content or body.is_named:
            own["Content-Type"] = body.content_type
        own = {name: value for name, value in own.items() if name.lower() not in given}
        made.append(LoadRequest(place.path, body.content, {**own, **headers}, method))
    return made


async def check_first(plan: LoadPlan, bodies: Sequence[Body]) -> None:
    """Ask the first requests once, so that nobody measures how fast errors are. Raises ClickException, OSError."""
    for request, body in zip(plan.requests[:_MOST_FIRST], bodies, strict=False):
        answer = await plan.ask(request)
        if plan.is_stopped():
            return
        if not 0 < answer.status < _FIRST_REDIRECT:
            hint = "" if body.content or request.method == "GET" else _NO_BODY
            raise click.ClickException(_refused(answer, body.name) + hint)


def _refused(answer: FirstAnswer, name: str) -> str:
    which = f"The request with {name}" if name else "A request"
    if not answer.status:
        return f"{which} got no answer before the load: {answer.problem}. Nothing was measured."
    from mms.cli.printing import printable

    text = " ".join(answer.body.decode("utf-8", "replace").split())[:_SHOWN_CHARS]
    said = f": {printable(text)}" if text else ""
    return f"{which} was answered with {answer.status} before the load{said}\nNothing was measured."
