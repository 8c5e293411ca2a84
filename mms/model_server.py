"""The launcher under the name that MMS has it under."""

from __future__ import annotations

from mms.cli.multi_model_server import main, mxnet_main


def start() -> int:
    """`multi-model-server`."""
    return main()


def old_start() -> int:
    """`mxnet-model-server`."""
    return mxnet_main()


def load_properties(file_path: str) -> dict[str, str]:
    """The `key=value` lines of a file, both sides without blanks around them; raises OSError.

    MMS's launcher reads no more of the syntax: no escapes, no continued lines, no other separators. The server reads
    all of it, with `mms.text.properties`.
    """
    entries = {}
    with open(file_path, encoding="utf-8", errors="replace") as file:
        for line in file:
            key, equals, value = line.strip().partition("=")
            if equals and not key.startswith("#"):
                entries[key.strip()] = value.strip()
    return entries


if __name__ == "__main__":
    raise SystemExit(start())
