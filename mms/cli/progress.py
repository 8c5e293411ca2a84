"""What a command waits for, shown on a terminal: a load, with what the server says of it meanwhile. Quiet elsewhere."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mms.client import Client

#: What takes less is not shown, in seconds.
_PATIENCE_S = 0.5


@contextlib.contextmanager
def showing_load(client: Client, what: str) -> Iterator[None]:
    """Show what the server says of its models while a call waits for a load."""
    if not sys.stderr.isatty():
        yield
        return
    is_over = threading.Event()
    with _status(what) as show:
        # It ends with the process: it may be waiting for the server.
        threading.Thread(
            target=_tell_lines, args=(client, what, show, is_over), daemon=True
        ).start()
        try:
            yield
        finally:
            is_over.set()


def _tell_lines(
    client: Client, what: str, show: Callable[[str], None], is_over: threading.Event
) -> None:
    from mms.client import ClientError

    if is_over.wait(_PATIENCE_S):
        return
    # A server of AWS's has no such lines.
    with (
        contextlib.suppress(ClientError),
        contextlib.closing(client.models.follow_logs(lines=1)) as lines,
    ):
        for line in lines:
            if is_over.is_set():
                return
            if line.stream == "server":
                show(f"{what}: {line.message}")


@contextlib.contextmanager
def showing_model(name: str) -> Iterator[Callable[[dict[str, Any]], None] | None]:
    """Give what shows the state of a model that is waited for; None where nobody sees it."""
    if not sys.stderr.isatty():
        yield None
        return
    with _status(f"Waiting for {name}") as show:
        yield lambda description: show(f"{name}: {state_of(description)}")


def state_of(description: dict[str, Any]) -> str:
    """Return in a few words how far the workers of a model are."""
    from mms.client.models import ready_workers

    wanted = description.get("minWorkers", 0)
    words = [f"{ready_workers(description)} of {wanted} workers ready"]
    for worker in description.get("workers", ()):
        progress = worker.get("progress")
        if progress:
            words.append(f"{progress['stage']} for {progress['seconds']:.0f} s")
        elif worker.get("reason"):
            words.append(str(worker["reason"]))
    return ", ".join(words)


@contextlib.contextmanager
def _status(text: str) -> Iterator[Callable[[str], None]]:
    """Show a line that moves; give what changes its text."""
    from rich.console import Console
    from rich.text import Text

    from mms.cli.printing import printable

    # Text, since square brackets in a string would be read as styles.
    with Console(stderr=True).status(Text(text)) as status:
        yield lambda changed: status.update(Text(printable(changed)))
