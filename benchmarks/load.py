"""The load generator: wrk with one thread, sending one request again and again as fast as it is answered."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from benchmarks.deployment import PeerRequest
from benchmarks.http_client import HOST

_SCRIPT = Path(__file__).with_name("post.lua")
_MARK = "BENCH "
# An answer that takes longer is counted as an error.
TIMEOUT_S = 20
_GRACE_S = 30


class LoadFailed(Exception):
    """wrk is missing, was refused, or printed something else than its figures."""


@dataclass(frozen=True)
class Figures:
    """One run of wrk. Latencies are those of answered requests, in microseconds."""

    requests: int
    duration_us: int
    received_bytes: int
    connect_errors: int
    read_errors: int
    write_errors: int
    timeouts: int
    bad_statuses: int
    p50_us: float
    p90_us: float
    p99_us: float
    max_us: float

    @property
    def requests_per_s(self) -> float:
        return self.requests / (self.duration_us / 1e6) if self.duration_us else 0.0

    def errors(self) -> dict[str, int]:
        """Return the errors that happened, with their count by kind."""
        kinds = ("connect_errors", "read_errors", "write_errors", "timeouts", "bad_statuses")
        return {kind: getattr(self, kind) for kind in kinds if getattr(self, kind)}


def missing_generator() -> str | None:
    if shutil.which("wrk") is None:
        return (
            "wrk, the load generator, is not installed. Debian and Ubuntu: apt-get install wrk; "
            "macOS: brew install wrk; source: github.com/wg/wrk"
        )
    return None


def generator_version() -> str:
    finished = subprocess.run(["wrk", "--version"], capture_output=True, text=True)
    return (finished.stdout + finished.stderr).partition("Copyright")[0].strip()


def drive(
    port: int, request: PeerRequest, connections: int, duration_s: float, scratch_folder: Path
) -> Figures:
    """Load the port of this machine for that time. Raises LoadFailed."""
    body_file = scratch_folder / "body"
    body_file.write_bytes(request.body)
    # wrk takes whole seconds, no fewer than one.
    whole_s = max(1, round(duration_s))
    command = ["wrk", "-t1", f"-c{connections}", f"-d{whole_s}s", f"--timeout={TIMEOUT_S}s"]
    command += ["-s", str(_SCRIPT), f"http://{HOST}:{port}{request.paths[0]}"]
    environment = {
        "PATH": os.environ.get("PATH", os.defpath),
        "BENCH_BODY_FILE": str(body_file),
        "BENCH_HEADERS": "\n".join(f"{name}: {value}" for name, value in request.headers.items()),
        "BENCH_PATHS": "\n".join(request.paths),
    }
    try:
        finished = subprocess.run(
            command,
            capture_output=True,
            text=True,
            env=environment,
            stdin=subprocess.DEVNULL,
            timeout=whole_s + TIMEOUT_S + _GRACE_S,
        )
    except FileNotFoundError:
        raise LoadFailed(missing_generator() or "wrk could not be started") from None
    except subprocess.TimeoutExpired:
        raise LoadFailed("wrk did not come to an end") from None
    return parse_figures(finished.stdout, finished.stderr)


def parse_figures(output: str, complaints: str = "") -> Figures:
    """Return the figures in what post.lua made wrk print. Raises LoadFailed."""
    for line in output.splitlines():
        if line.startswith(_MARK):
            try:
                # A percentile of no answers at all is printed as nan, which JSON calls NaN.
                row = json.loads(line[len(_MARK) :].replace("-nan", "0").replace("nan", "0"))
                return Figures(**row)
            except (ValueError, TypeError) as error:
                raise LoadFailed(f"wrk printed figures that cannot be read: {line}") from error
    raise LoadFailed(f"wrk printed no figures: {(complaints or output).strip()[-300:]}")
