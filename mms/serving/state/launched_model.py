"""The model that a command starts a server with, as it passes it on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mms.serving.options import RegisterOptions


def registration_of(text: str) -> RegisterOptions:
    """Return the registration that a command has written as JSON: its members by name.

    `spec_file` is a file with the member `serving_spec`, written for this start alone. It is removed.
    """
    members: dict[str, Any] = json.loads(text)
    if "folder" in members:
        members["folder"] = Path(members["folder"])
    spec_file = members.pop("spec_file", None)
    if spec_file is not None:
        file = Path(spec_file)
        document = file.read_bytes()
        file.unlink()
        members["serving_spec"] = json.loads(document)
    return RegisterOptions.of_members({**members, "is_from_operator": True})
