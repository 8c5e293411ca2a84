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
_LOOK_S = 0.5
#: What the server says of a model that is not there yet, before how far it is.
_COMING = "It is being registered"
_NOT_FOUND = 404


@contextlib.contextmanager
def showing_load(client: Client, what: str, name: str) -> Iterator[None]:
    """Show how far a model is while a call waits for it: what is fetched, what its workers do."""
    if not sys.stderr.isatty():
        yield
        return
    is_over = threading.Event()
    with _status(what) as show:
        # It ends with the process: it may be waiting for the server.
        threading.Thread(
            target=_look, args=(client, what, name, show, is_over), daemon=True
        ).start()
        try:
            yield
        finally:
            is_over.set()


def _look(
    client: Client, what: str, name: str, show: Callable[[str], None], is_over: threading.Event
) -> None:
    from mms.client import ClientError, ServerRefused

    wait_s = _PATIENCE_S
    while not is_over.wait(wait_s):
        wait_s = _LOOK_S
        try:
            state = state_of(client.models.describe(name))
        except ServerRefused as error:
            if error.status != _NOT_FOUND:
                return
            state = coming(str(error))
        except ClientError:
            # Whoever waits for the call is told.
            return
        if not is_over.is_set():
            show(f"{what}: {state}" if state else what)


def coming(message: str) -> str:
    """Return how far a model is that is not registered yet, by the server's words; empty where they do not say."""
    _, is_coming, rest = message.partition(_COMING)
    return (rest.strip(".: ") or "registering") if is_coming else ""


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
