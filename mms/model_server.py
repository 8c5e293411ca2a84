"""The launcher under the name that MMS has it under."""

from __future__ import annotations

from mms import properties
from mms.cli.multi_model_server import main, mxnet_main


def start() -> int:
    """`multi-model-server`."""
    return main()


def old_start() -> int:
    """`mxnet-model-server`."""
    return mxnet_main()


def load_properties(file_path: str) -> dict[str, str]:
    """The entries of a properties file. Raises OSError."""
    with open(file_path, "rb") as file:
        text = properties.decode(file.read())
    return {entry.key: entry.value for entry in properties.parse(text)}
