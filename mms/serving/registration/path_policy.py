"""Files and addresses besides archives that a registration or its archive names for the server to read or write."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from mms.errors import BadRequest
from mms.repository import FetchedArchive
from mms.repository.location import is_below
from mms.repository.sources import Sources
from mms.serving.options import RegisterOptions
from mms.text.brief import brief

#: Parameters of components and servers for saved models.
_PLACES = ("model_uri", "model_path")
#: Streams that stay in the server's memory.
_OF_MEMORY = ("memory", "dummy")


def check_arguments(
    options: RegisterOptions, archive: FetchedArchive, model_store: Path | None, sources: Sources
) -> bool:
    """Raises BadRequest where a client gives a class the place of a model that is not allowed, as an argument.

    Such classes unpickle what is there. Returns whether there is such a place, for workers to look where it leads.
    """
    if options.is_from_operator or options.folder is not None:
        return False
    arguments = options.value_of("class_args")
    named = [options.value_of("model_path")]
    if isinstance(arguments, Mapping):
        named.append(arguments.get("model_path"))
    if isinstance(options.parameters, list | tuple):
        named += [
            parameter.get("value")
            for parameter in options.parameters
            if isinstance(parameter, Mapping) and parameter.get("name") in _PLACES
        ]
    places = [path for path in named if isinstance(path, str) and path]
    for path in places:
        _check(path, [archive.folder, model_store], sources)
    return bool(places)


def check_reference(reference: str, sources: Sources) -> None:
    """Raises BadRequest for a file with distributions outside of what a model has that is not allowed."""
    path = Path(reference)
    if path.is_absolute() or ".." in path.parts:
        _check(reference, [], sources)


def check_stream(address: str, arguments: Mapping[str, Any], sources: Sources) -> None:
    """Raises BadRequest for a stream of records that is not allowed. `arguments`: of its sink."""
    brokers = arguments.get("kafka_brokers") or ()
    for broker in brokers.split(",") if isinstance(brokers, str) else brokers:
        sources.urls.check(f"kafka://{broker}")
    scheme = address.partition("://")[0].lower()
    if scheme not in _OF_MEMORY:
        _check(address, [], sources)


def _check(named: str, folders: list[Path | None], sources: Sources) -> None:
    """`folders`: where files need no permission; a relative path is one of the first."""
    scheme, sign, _ = named.partition("://")
    if sign and scheme.lower() != "file":
        sources.urls.check(named)
        return
    try:
        path = Path(unquote(urlsplit(named).path) if sign else named)
        own = [folder for folder in folders if folder is not None]
        path = Path(os.path.abspath(own[0] / path if own else path))
        if not any(is_below(path, folder) for folder in own):
            sources.check_path(path)
            sources.check_path(Path(os.path.realpath(path)))
    except (ValueError, OSError) as error:
        # A name that no file can have, or an address that is none.
        raise BadRequest(f"{brief(named)} is neither a path nor an address: {error}") from None
