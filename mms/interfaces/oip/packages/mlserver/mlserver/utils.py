"""Where a model's files are, and ids."""

from __future__ import annotations

import os
import urllib.parse
import uuid
from collections.abc import Sequence

from .errors import InvalidModelURI
from .settings import ModelSettings


async def get_model_uri(settings: ModelSettings, wellknown_filenames: Sequence[str] = ()) -> str:
    """Return the path of what the settings name: the file, or in a folder the first of the well-known names that is
    there, else the folder. Raises InvalidModelURI."""
    uri = settings.parameters.uri if settings.parameters is not None else None
    if not uri:
        raise InvalidModelURI(settings.name)
    parts = urllib.parse.urlparse(uri, scheme="file")
    if parts.scheme != "file":
        return uri
    return _existing(settings.name, to_absolute_path(settings, parts.path), wellknown_filenames)


def _existing(name: str, path: str, wellknown_filenames: Sequence[str]) -> str:
    if os.path.isdir(path):
        named = [os.path.join(path, each) for each in wellknown_filenames]
        return next((each for each in named if os.path.isfile(each)), path)
    if os.path.isfile(path):
        return path
    raise InvalidModelURI(name, path)


def to_absolute_path(model_settings: ModelSettings, uri: str) -> str:
    """Return a path relative to the settings' file as one that holds anywhere."""
    source = model_settings._source
    if source is None:
        return uri
    return os.path.normpath(os.path.join(os.path.dirname(source), uri))


def generate_uuid() -> str:
    return str(uuid.uuid4())
