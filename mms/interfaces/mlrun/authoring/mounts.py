"""What functions are given for the volumes and secrets of Kubernetes, which mean nothing to a process of this machine.

Each call returns what `fn.apply()` takes; only variables of the environment have an effect.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Modifier = Callable[[Any], Any]


def mount_nothing(*_: Any, **__: Any) -> Modifier:
    """Return a modifier that leaves the function as it is."""

    def modify(function: Any) -> Any:
        return function

    return modify


auto_mount = mount_configmap = mount_hostpath = mount_pvc = mount_s3 = mount_nothing
mount_secret = mount_v3io = mount_v3io_extended = mount_v3io_legacy = v3io_cred = mount_nothing


def set_env_variables(env_vars_dict: Mapping[str, Any] | None = None, **env_vars: Any) -> Modifier:
    """Return a modifier that sets variables of the function's processes."""

    def modify(function: Any) -> Any:
        return function.set_envs({**(env_vars_dict or {}), **env_vars})

    return modify
