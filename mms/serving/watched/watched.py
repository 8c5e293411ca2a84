"""All that is followed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mms.serving.options import RegisterOptions
from mms.serving.watched.followed_model import FollowedModel, Register
from mms.serving.watched.model_swap import ModelSwap
from mms.serving.watched.watched_models import WatchedModels

if TYPE_CHECKING:
    from mms.serving.shared.front import ClusterFront
    from mms.serving.watched.desired_models import DesiredModels
    from mms.settings import Settings


class Watched:
    """Owner of what follows files. Called on the event loop.

    `folder`: follows the setting `models_dir`, `desired`: follows `models_file`, `shared`: follows a cluster; None
    where there is none of them.
    """

    def __init__(self, settings: Settings, swap: ModelSwap, *, count: int) -> None:
        """`count`: workers of a model at its start."""
        self._swap = swap
        self.folder: WatchedModels | None = None
        self.desired: DesiredModels | None = None
        self.shared: ClusterFront | None = None
        if settings.models_dir is not None:
            self.folder = WatchedModels(
                Path(settings.models_dir),
                swap,
                interval_s=settings.models_dir_interval_s,
                count=count,
            )
        if settings.models_file is not None:
            # With its reader of YAML, which other servers start without.
            from mms.serving.watched.desired_models import DesiredModels

            self.desired = DesiredModels(
                Path(settings.models_file),
                swap,
                interval_s=settings.models_file_interval_s,
                count=count,
            )
        self._alone: list[FollowedModel] = []

    def __repr__(self) -> str:
        return f"<Watched {self.folder!r}, {self.desired!r}, {len(self._alone)} models>"

    async def start(self) -> None:
        """Register what is to be there now, and look again at intervals until closed."""
        if self.folder is not None:
            await self.folder.start()
        if self.desired is not None:
            await self.desired.start()
        if self.shared is not None:
            self.shared.start()

    async def follow(self, path: Path, options: RegisterOptions, register: Register) -> None:
        """Register the model of a path, which may fail, and load it anew when that has changed, until closed."""
        followed = FollowedModel(path, options, self._swap, register)
        self._alone.append(followed)
        await followed.start()

    def close(self) -> None:
        """Look no more."""
        for each in (self.folder, self.desired, self.shared, *self._alone):
            if each is not None:
                each.close()
