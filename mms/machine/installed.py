"""What else is installed where this server is: packages of AWS that own files of the same names."""

from __future__ import annotations

from pathlib import Path

import mms

#: AWS's packages, as their metadata folders begin. From 2 on, the first name was this server's own for a while.
_OF_AWS = ("multi_model_server-1.", "mxnet_model_server-", "model_archiver-")


def packages_of_aws(folder: Path | None = None) -> list[str]:
    """Return the packages of AWS in a folder of packages, as `name==version`; by default in that of this server.

    They install the packages `mms` and `model_archiver` and the same commands. pip lets one overwrite the other without
    a word, and whoever removes one removes files of the other.
    """
    folder = folder or Path(mms.__file__).parent.parent
    found = []
    for prefix in _OF_AWS:
        for metadata in sorted(folder.glob(f"{prefix}*.dist-info")):
            name, _, version = metadata.name.removesuffix(".dist-info").partition("-")
            found.append(f"{name.replace('_', '-')}=={version}")
    return found
