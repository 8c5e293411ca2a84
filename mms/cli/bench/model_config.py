"""Writes what a search has found to a `model-config.yaml`, and leaves what else is there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import click

from mms.load_test.tuning import Numbers
from mms.text.documents import InvalidDocument, read_yaml

NAME: Final = "model-config.yaml"


def with_numbers(text: str, numbers: Numbers) -> str:
    """Return the text of a file with these numbers in it; lines of other keys, and comments, stay."""
    keys = {
        "minWorkers": numbers.workers,
        "maxWorkers": numbers.workers,
        "batchSize": numbers.batch_size,
        "maxBatchDelay": numbers.delay_ms,
        "threadsPerWorker": numbers.threads,
    }
    for key, value in keys.items():
        line = re.compile(rf"^{key}[ \t]*:[^\n#]*?(?=[ \t]*(?:#|$))", re.MULTILINE)
        text, count = line.subn(f"{key}: {value}", text, count=1)
        if not count:
            text += ("" if not text or text.endswith("\n") else "\n") + f"{key}: {value}\n"
    return text


def check_config(file: Path) -> str:
    """Return the text of the file, empty where there is none. Raises click's error for what cannot be added to."""
    try:
        text = file.read_text("utf-8") if file.exists() else ""
        document = read_yaml(text)
    except (OSError, UnicodeError, InvalidDocument) as error:
        raise click.BadParameter(f"{file} cannot be read: {error}", param_hint="-o") from None
    if document is not None and not isinstance(document, dict):
        raise click.BadParameter(f"{file} has no keys, as a {NAME} has", param_hint="-o")
    return text


def write_config(file: Path, numbers: Numbers) -> None:
    """Raises ClickException."""
    text = with_numbers(check_config(file), numbers)
    try:
        found = read_yaml(text)
    except InvalidDocument:
        found = None
    if not isinstance(found, dict) or found.get("batchSize") != numbers.batch_size:
        raise click.ClickException(f"{file} is written in a way that keys cannot be added to.")
    try:
        file.write_text(text, "utf-8")
    except OSError as error:
        raise click.ClickException(f"{file} cannot be written: {error.strerror}.") from None
