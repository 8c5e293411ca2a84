"""What the settings allow workers, as a worker is told it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mms.settings import Settings
    from mms.settings.confinement import WorkerUser


def confinement(settings: Settings) -> dict[str, Any]:
    """`Load.confinement`."""
    rules: dict[str, Any] = {}
    if settings.worker_rlimits:
        rules["rlimits"] = dict(settings.worker_rlimits)
    user = settings.worker_user
    if user is not None:
        rules["user"] = {"uid": user.uid, "gid": user.gid, "groups": list(user.groups)}
    return rules


def account_variables(user: WorkerUser | None) -> dict[str, str]:
    """The variables that tell a process who it is; none for workers that run as the server does."""
    if user is None or not user.name:
        return {}
    return {"HOME": user.home, "USER": user.name, "LOGNAME": user.name}
