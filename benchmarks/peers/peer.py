"""What a file of this folder says about one server: how to install, start, feed and ask it."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar

import psutil

from benchmarks import real_models
from benchmarks.deployment import (
    STREAM_PART,
    STREAM_PARTS,
    Answer,
    Deployment,
    Load,
    PeerRequest,
)
from benchmarks.places import DIGITS_EXAMPLE, MODELS
from benchmarks.server import Launch, Site
from benchmarks.venvs import Venv
from mms.machine.cpus import available_cpus

# The same for all, so that the real model costs the same everywhere.
DIGITS_REQUIREMENTS = ("numpy==1.26.4", "scikit-learn==1.5.2", "joblib==1.4.2")
OCTETS = "application/octet-stream"
JSON = "application/json"
# Ink of a four, from the data set; every classifier that was trained as the example does says so.
DIGITS_IMAGE = [
    *(0, 0, 0, 1, 11, 0, 0, 0),
    *(0, 0, 0, 7, 8, 0, 0, 0),
    *(0, 0, 1, 13, 6, 2, 2, 0),
    *(0, 0, 7, 15, 0, 9, 8, 0),
    *(0, 5, 16, 10, 0, 16, 6, 0),
    *(0, 4, 15, 16, 13, 16, 1, 0),
    *(0, 0, 0, 3, 15, 10, 0, 0),
    *(0, 0, 0, 2, 16, 4, 0, 0),
]
DIGITS_ANSWER = 4
#: A whole answer of `stream`.
STREAM = (STREAM_PART * STREAM_PARTS).encode()


class Peer(ABC):
    name: ClassVar[str]
    title: ClassVar[str]
    # What stands behind the name: language of the front, and how it reaches Python.
    front: ClassVar[str]
    # The package whose version is shown.
    package: ClassVar[str]
    requirements: ClassVar[tuple[str, ...]]
    # How the request is written, where a body of plain bytes is not taken.
    note: ClassVar[str] = ""
    # Its settings for real models, where its documentation says what is best; empty: it takes no part.
    tuning: ClassVar[str] = ""
    has_batching: ClassVar[bool] = True
    has_management: ClassVar[bool] = False
    ready_timeout_s: ClassVar[float] = 60.0
    ask_timeout_s: ClassVar[float] = 30.0
    check_body_bytes: ClassVar[int] = 1024
    # Whether a request to a model that is registered and not loaded loads it. Else a client has to.
    loads_on_demand: ClassVar[bool] = False
    # What a client that loads and unloads models counts for each, in MiB; 0: it never has to unload one.
    client_counts_mib: ClassVar[int] = 0
    # What it leaves to the server without models, in MiB.
    client_leaves_mib: ClassVar[int] = 0

    @property
    def asked_as(self) -> str:
        """The server whose cells it takes part in."""
        return self.name

    @property
    def venv(self) -> Venv:
        return Venv(self.name)

    def obstacle(self) -> str | None:
        """Return why this machine cannot run it, known before anything is installed."""
        return None

    def install(self) -> None:
        """Install it. Raises InstallationFailed."""
        self.venv.ensure([*self.requirements, *DIGITS_REQUIREMENTS])
        ensure_digits(self.venv)

    def install_for_real_models(self) -> None:
        """Install what their code imports, beside the server. Raises InstallationFailed."""
        self.venv.add(real_models.REQUIREMENTS)

    def version(self) -> str:
        return self.venv.versions().get(self.package, "unknown")

    def refuses(self, deployment: Deployment, load: Load | None) -> str | None:
        """Return why it has no such thing as this deployment or load."""
        if deployment.options:
            return "options of another server"
        if deployment.work.kind in real_models.KINDS and not self.tuning:
            return "it is not among those that real models are compared on"
        if deployment.on_demand:
            return None if self.has_management else "models cannot be loaded while it runs"
        if deployment.registered_models > 1 and not self.has_management:
            return "models are not registered while it runs"
        if deployment.batch_size > 1 and not self.has_batching:
            return "it does not batch"
        return None

    @abstractmethod
    def prepare(self, deployment: Deployment, site: Site) -> Launch:
        """Write what the server reads into the site's folder."""

    @abstractmethod
    def is_ready(self, site: Site) -> bool: ...

    def deploy(self, deployment: Deployment, site: Site) -> None:  # noqa: B027 - most need nothing
        """Register the models, where that is done while the server runs. Raises ServerFailed."""

    @abstractmethod
    def request(self, deployment: Deployment, body_bytes: int) -> PeerRequest: ...

    @abstractmethod
    def is_right(self, deployment: Deployment, answer: Answer) -> bool: ...

    def carry(self, deployment: Deployment, body: bytes) -> PeerRequest:
        """Return the request that brings a real model this body."""
        raise NotImplementedError(f"{self.title} has no real models")

    def scale(self, workers: int, site: Site) -> None:
        """Change the number of workers, and return when they run."""
        raise NotImplementedError(f"{self.title} has no management API")

    def load_model(self, name: str, site: Site) -> None:
        """Have a registered model loaded, and return when it is. Raises ServerFailed."""
        raise NotImplementedError(f"{self.title} loads no models while it runs")

    def unload_model(self, name: str, site: Site) -> None:
        """Have a model stay registered, and hold no memory. Raises ServerFailed."""
        raise NotImplementedError(f"{self.title} unloads no models while it runs")

    def loaded_at_s(self, answer: Answer) -> float:
        """Return what an answer of `classifier` says of when its model was loaded."""
        return float(json.loads(answer.body)["loaded_at"])

    def clean_up(self, site: Site) -> None:  # noqa: B027 - most leave nothing
        """Remove what a server that had to be killed leaves outside its folder."""

    def role(self, process: psutil.Process) -> str:
        """Return `front` or `worker` where the peer can tell, for the tables of processor time and memory."""
        return "server"


def octets_request(path: str, body: bytes) -> PeerRequest:
    return PeerRequest((path,), body, {"Content-Type": OCTETS})


def base64_request(path: str, template: str, body: bytes) -> PeerRequest:
    """Return a JSON body: `template` with one %s for the octets in base64."""
    text = template % base64.b64encode(body).decode()
    return PeerRequest((path,), text.encode(), {"Content-Type": JSON})


def json_request(path: str, template: str, body_bytes: int) -> PeerRequest:
    """Return a JSON body of that size: `template` with one %s, to be filled with letters."""
    fill = "x" * max(1, body_bytes - len(template) + 2)
    return PeerRequest((path,), (template % fill).encode(), {"Content-Type": JSON})


def digits_request(path: str, template: str = '{"image": %s}') -> PeerRequest:
    return PeerRequest(
        (path,), (template % json.dumps(DIGITS_IMAGE)).encode(), {"Content-Type": JSON}
    )


def work_environment(deployment: Deployment, venv: Venv, site: Site) -> dict[str, str]:
    """Return the variables that `models/` reads, and the peer's own programs first on PATH."""
    path = f"{venv.commands}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    return {
        "PATH": path,
        "BENCH_WORK": deployment.work.kind,
        "BENCH_WORK_MS": str(deployment.work.duration_ms),
        "BENCH_STREAM_PART": STREAM_PART,
        "BENCH_STREAM_PARTS": str(STREAM_PARTS),
        "BENCH_WORKERS": str(deployment.workers),
        "BENCH_BATCH_SIZE": str(deployment.batch_size),
        "BENCH_BATCH_DELAY_MS": str(deployment.batch_delay_ms),
        "BENCH_PORT": str(site.port),
        "BENCH_DIGITS": str(digits_folder(venv)),
        "BENCH_MODELS": str(real_models.FOLDER),
    }


def tuned_environment(deployment: Deployment) -> dict[str, str]:
    """Return the variables by which the servers' documentation has workers share the cores."""
    if deployment.work.kind not in real_models.KINDS:
        return {}
    return {"OMP_NUM_THREADS": str(max(1, available_cpus() // deployment.workers))}


def digits_folder(venv: Venv) -> Path:
    return venv.folder / "digits"


def ensure_digits(venv: Venv) -> Path:
    """Return the folder with the trained classifier and its handler; trained by the peer's own scikit-learn."""
    folder = digits_folder(venv)
    if not (folder / "classifier.joblib").is_file():
        command = [str(venv.python), str(DIGITS_EXAMPLE / "train.py"), "--image-count", "0"]
        command += ["--model-dir", str(folder), "--images-dir", str(folder / "images")]
        subprocess.run(command, check=True, capture_output=True)
    return folder


def copy_models(site: Site, *names: str) -> Path:
    """Put these files of `models/` into the site's folder `app`."""
    folder = site.folder / "app"
    folder.mkdir(exist_ok=True)
    for name in (*names, "work.py", "real_models.py"):
        shutil.copy(MODELS / name, folder)
    return folder
