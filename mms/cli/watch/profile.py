"""`mms profile`: where a worker spends its time, as a flame graph, by py-spy (extra `profile`)."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mms.cli.connecting import as_json, model_name, of_version, on_management
from mms.cli.printing import print_json
from mms.text.brief import brief

if TYPE_CHECKING:
    from mms.client import Client

#: py-spy may take so much longer than it was asked to watch, in seconds.
_MORE_S = 60
_UNFIT = re.compile(r"[^\w.-]+")
_FORMATS = {".svg": "flamegraph", ".json": "speedscope"}
_NOT_ALLOWED = re.compile(r"permission denied|operation not permitted", re.IGNORECASE)


@click.command()
@model_name
@of_version
@click.option("--worker", help="The worker's id or its process; default: one that is busy, if any.")
@click.option(
    "-d",
    "--duration",
    type=click.IntRange(1, 3600),
    default=10,
    show_default=True,
    help="How long to watch, in seconds.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="A file .svg for a flame graph, or .json for speedscope; default: profile-MODEL.svg.",
)
@click.option(
    "--rate",
    type=click.IntRange(1, 1000),
    default=100,
    show_default=True,
    help="Looks at the worker in a second.",
)
@click.option("--idle", is_flag=True, help="Count threads that wait, too.")
@click.option("--native", is_flag=True, help="Show functions of C and C++ as well.")
@as_json
@on_management
def profile(
    client: Client,
    name: str,
    version: str | None,
    worker: str | None,
    duration: int,
    output: Path | None,
    rate: int,
    idle: bool,
    native: bool,
    is_json: bool,
) -> None:
    """Draw where a worker of MODEL spends its time.

    It runs on the machine of the server, as root or with the right to trace the worker (CAP_SYS_PTRACE). The model
    serves on meanwhile; send it requests, as a worker that waits has nothing to show.

    \b
    Examples:
      mms profile hello
      mms profile hello -d 30 -o hello.svg --native
    """
    program = _py_spy()
    output = Path(f"profile-{_UNFIT.sub('_', name)}.svg") if output is None else output
    form = _FORMATS.get(output.suffix)
    if form is None:
        raise click.BadParameter(
            f"{brief(str(output))} ends neither with .svg nor .json", param_hint="-o"
        )
    if not output.absolute().parent.is_dir():
        raise click.BadParameter(f"{output.parent} is no folder", param_hint="-o")
    found = _worker_of(client.models.describe(name, version)["workers"], name, worker)
    pid = found["pid"]
    if found.get("node") or not _is_worker(pid):
        raise click.ClickException(
            f"The worker's process {pid} is not on this machine, or of another container: run this command where the "
            "server runs."
        )
    flags = [word for word, is_on in (("--idle", idle), ("--native", native)) if is_on]
    command = [
        *(program, "record", "--pid", str(pid), "--duration", str(duration), "--rate", str(rate)),
        *("--format", form, "--output", str(output.absolute()), *flags),
    ]
    click.echo(
        f"Watching worker {found['id']} of {name} (process {pid}) for {duration} s ...",
        err=True,
    )
    before = _stamp(output)
    code, text = _run(command, duration + _MORE_S)
    if code or _stamp(output) == before:
        raise click.ClickException(_problem(text, pid))
    if is_json:
        watched = {"modelName": name, "workerId": found["id"], "pid": pid, "duration_s": duration}
        print_json({**watched, "file": str(output), "format": form})
    else:
        click.echo(str(output))


def _py_spy() -> str:
    """Raises ClickException where the extra is not installed."""
    beside = Path(sys.executable).parent / "py-spy"
    found = str(beside) if beside.is_file() else shutil.which("py-spy")
    if found is None:
        raise click.ClickException('This needs py-spy: pip install "marserve[profile]"')
    return found


def _worker_of(workers: list[dict[str, Any]], name: str, wanted: str | None) -> dict[str, Any]:
    """Return the worker that is meant. Raises ClickException."""
    running = [each for each in workers if each.get("pid")]
    if wanted is not None:
        for each in running:
            if wanted in (each["id"], str(each["pid"])):
                return each
        known = ", ".join(str(each["id"]) for each in running) or "none"
        raise click.ClickException(
            f"{brief(name)} has no running worker {brief(wanted)}; running are: {known}."
        )
    if not running:
        raise click.ClickException(f"No worker of {brief(name)} runs now.")
    return min(running, key=lambda each: each.get("status") != "BUSY")


def _is_worker(pid: int) -> bool:
    """Return whether a process of this machine may be the worker: the number alone may be another's."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes()
    except FileNotFoundError:
        return not Path("/proc/self").exists() and _is_alive(pid)
    except OSError:
        return True
    return b"mms" in words


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _stamp(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def _run(command: list[str], limit_s: float) -> tuple[int, str]:
    """Return the exit code and what was said. Ctrl-C has py-spy write what it has seen."""
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            text, _ = process.communicate(timeout=limit_s)
        except KeyboardInterrupt:
            # It has got the same signal.
            text, _ = process.communicate(timeout=_MORE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            text, _ = process.communicate()
            text += f"\npy-spy did not end within {limit_s:g} seconds."
        finally:
            process.kill()
    return process.returncode, text


def _problem(text: str, pid: int) -> str:
    if _NOT_ALLOWED.search(text):
        return (
            f"Process {pid} may not be traced. Run this command as root, for example with sudo -E; in a container, "
            "start it with the capability SYS_PTRACE (docker run --cap-add SYS_PTRACE)."
        )
    if "No stack counts found" in text:
        return "The worker did nothing meanwhile: send it requests, or add --idle."
    said = text.strip() or "nothing was said"
    return f"py-spy failed: {said[-2000:]}"
