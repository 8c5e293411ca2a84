"""This project, as a user would install it, with its defaults: access log and metrics are on."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import psutil

from benchmarks.archives import ARCHIVE_NAME
from benchmarks.deployment import Answer, Deployment, Load, PeerRequest
from benchmarks.http_client import HOST
from benchmarks.mlrun_requests import MODELS as INFER_MODELS
from benchmarks.mlrun_requests import (
    VOTES,
    ensemble_spec,
    infer_request,
    is_inferred,
    is_voted,
    vote_request,
)
from benchmarks.peers.mar_server import MarServer
from benchmarks.peers.peer import DIGITS_REQUIREMENTS, ensure_digits
from benchmarks.places import MODELS, ROOT
from benchmarks.seldon_requests import is_identity, rest_request
from benchmarks.server import Launch, Site
from benchmarks.tensor_requests import TENSORS, is_tensor, tensor_request
from benchmarks.venvs import InstallationFailed

NAME = "ours"
_FOLDER = ARCHIVE_NAME.removesuffix(".mar")
_SPEC_NAME = "voters.json"
# The extra `grpc`, but for what only graphs with remote nodes need.
_EXTRA = ("hpack>=4.0", "protobuf>=4.21")


class Ours(MarServer):
    name = NAME
    title = "this server"
    front = "Python (uvloop, httptools)"
    package = "marserve"
    requirements: ClassVar[tuple[str, ...]] = ("setuptools>=77",)
    response_timeout = "1"  # minutes
    loads_on_demand = True
    tuning = (
        "2 workers, batch_size 32; all else is the default: adaptive batches, threads by itself"
    )

    def tuned_environment(self, deployment: Deployment) -> dict[str, str]:
        return {}

    def install(self) -> None:
        self.install_from(ROOT)

    def install_from(self, root: Path) -> None:
        """As the project in that folder would be installed. Raises InstallationFailed."""
        self.venv.ensure(
            [*self.requirements, *project_dependencies(root), *_EXTRA, *DIGITS_REQUIREMENTS]
        )
        self.install_project(root)
        ensure_digits(self.venv)

    def install_project(self, root: Path) -> None:
        """Raises InstallationFailed."""
        self.venv.install_project(root)

    def refuses(self, deployment: Deployment, load: Load | None) -> str | None:
        return None

    def prepare(self, deployment: Deployment, site: Site) -> Launch:
        if deployment.work.kind in INFER_MODELS:
            file, *_ = INFER_MODELS[deployment.work.kind]
            _copy_model(file, site)
        if deployment.work.kind in TENSORS:
            _copy_model("tensor_handler.py", site)
        if deployment.work.kind in VOTES:
            code = (MODELS / "InferVoter.py").read_text(encoding="utf-8")
            store = site.folder / "store"
            store.mkdir(parents=True, exist_ok=True)
            text = ensemble_spec(deployment.work.duration_ms, code)
            (store / _SPEC_NAME).write_text(text, encoding="utf-8")
        if deployment.on_demand:
            limit = (
                (("memory_limit", f"{deployment.memory_mib}M"),) if deployment.memory_mib else ()
            )
            options = (*deployment.options, ("lazy_load", "true"), *limit)
            return super().prepare(replace(deployment, options=options), site)
        if deployment.work.kind not in ("identity", "tensor-grpc"):
            return super().prepare(deployment, site)
        if deployment.work.kind == "identity":
            _copy_model("IdentityComponent.py", site)
        options = (*deployment.options, ("grpc_address", f"{HOST}:{site.grpc_port}"))
        return super().prepare(replace(deployment, options=options), site)

    def registration(self, name: str, deployment: Deployment, site: Site) -> dict[str, str]:
        if deployment.work.kind in INFER_MODELS:
            _, handler, interface, _ = INFER_MODELS[deployment.work.kind]
            return {"url": _FOLDER, "handler": handler, "interface": interface}
        if deployment.work.kind in TENSORS:
            return {"url": _FOLDER, "handler": "tensor_handler:handle", "interface": "mms"}
        if deployment.work.kind in VOTES:
            return {"url": _SPEC_NAME}
        if deployment.work.kind != "identity":
            return super().registration(name, deployment, site)
        return {"url": _FOLDER, "handler": "IdentityComponent", "interface": "seldon"}

    def request(self, deployment: Deployment, body_bytes: int) -> PeerRequest:
        if deployment.work.kind == "identity":
            return rest_request("/api/v1.0/predictions", deployment.work.rows)
        if deployment.work.kind in INFER_MODELS:
            return infer_request(deployment.work.kind)
        if deployment.work.kind in VOTES:
            return vote_request(deployment.work.kind)
        if deployment.work.kind in TENSORS:
            return tensor_request(deployment.work.kind, body_bytes)
        return super().request(deployment, body_bytes)

    def is_right(self, deployment: Deployment, answer: Answer) -> bool:
        if deployment.work.kind == "identity":
            return is_identity(answer, deployment.work.rows)
        if deployment.work.kind in INFER_MODELS:
            return is_inferred(answer)
        if deployment.work.kind in VOTES:
            return is_voted(answer)
        if deployment.work.kind in TENSORS:
            return is_tensor(deployment.work.kind, answer)
        return super().is_right(deployment, answer)

    def command(self, site: Site, config: str) -> list[str]:
        command = [self.venv.command("multi-model-server"), "--start", "--foreground"]
        return [*command, "--mms-config", config, "--model-store", str(site.folder / "store")]

    def role(self, process: psutil.Process) -> str:
        command = process.cmdline()
        if "mms.worker" in command:
            return "other" if "--fork-server" in command else "worker"
        return "front" if "com.amazonaws.ml.mms.ModelServer" in command else "other"


def _copy_model(file: str, site: Site) -> None:
    folder = site.folder / "store" / _FOLDER
    folder.mkdir(parents=True)
    shutil.copy(MODELS / file, folder)


def project_dependencies(root: Path = ROOT) -> list[str]:
    """Return the requirements of pyproject.toml, so that what users get is what is measured."""
    text = (root / "pyproject.toml").read_text(encoding="utf-8")
    start = text.find("\ndependencies = [")
    if start < 0:
        raise InstallationFailed("pyproject.toml has no list of dependencies")
    block = text[start : text.index("\n]", start)]
    lines = (line.strip().rstrip(",") for line in block.splitlines())
    return [line.strip('"') for line in lines if line.startswith('"')]
