"""What a model may ask for whose workers Ray starts: nothing that only this machine has."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Final

from mms.errors import BadRequest
from mms.serving.options import RegisterOptions

if TYPE_CHECKING:
    from mms.settings import Settings

RAY: Final = "ray"
#: Members of `ray_runtime_env` that have packages installed.
_INSTALLERS: Final = ("pip", "uv", "conda")


def check_launcher(settings: Settings, effective: RegisterOptions) -> None:
    """Raises BadRequest naming what cannot be."""
    if effective.launcher != RAY:
        return
    if importlib.util.find_spec("ray") is None:
        raise BadRequest('launcher=ray needs the package ray: pip install "marserve[ray]"')
    if settings.worker_user is not None:
        raise BadRequest(
            "launcher=ray is refused because worker_user is set: on its node a worker runs as the user that Ray runs "
            "as there."
        )
    if effective.gpu_ids is not None:
        raise BadRequest(
            "Parameter gpu_ids names GPUs of this machine; with launcher=ray the number of GPUs is asked for, as "
            'ray_resources={"num_gpus": 1}.'
        )
    if effective.install_requirements == "venv":
        raise BadRequest(
            "install_requirements=venv makes an environment on this machine; with launcher=ray use folder, or "
            'ray_runtime_env={"pip": [...]}.'
        )
    installers = [name for name in _INSTALLERS if name in (effective.ray_runtime_env or {})]
    if installers and not settings.allowed_requirements:
        raise BadRequest(
            f"Parameter ray_runtime_env has {installers[0]}, which is refused because allowed_requirements is false."
        )
