"""Access to a model's files; what is remote has been fetched before the component starts."""

from __future__ import annotations

from pathlib import Path

_LOCAL_PREFIX = "file://"


class Storage:
    @staticmethod
    def download(uri: str, out_dir: str | None = None) -> str:
        """The path of a local file or folder, or `out_dir` with links to it or to what is in it.

        Raises ValueError for what is not local, FileNotFoundError for what is not there.
        """
        local = Path(uri.removeprefix(_LOCAL_PREFIX))
        if not uri.startswith(_LOCAL_PREFIX) and not local.exists():
            raise ValueError(
                f"Cannot recognize storage type for {uri}. "
                f"Only {_LOCAL_PREFIX} and existing local paths are available here."
            )
        if not local.exists():
            raise FileNotFoundError(f"Local path {uri} does not exist.")
        if out_dir is None:
            return str(local)
        folder = Path(out_dir)
        folder.mkdir(parents=True, exist_ok=True)
        for source in sorted(local.iterdir()) if local.is_dir() else [local]:
            folder.joinpath(source.name).symlink_to(source.absolute())
        return out_dir
