"""What workers may: their limits and their user, as they are written in the settings."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from mms.text.brief import brief

#: Names of the resource limits that make sense for a worker: those of `getrlimit(2)` without RLIMIT_, in small letters.
RLIMITS = ("as", "core", "cpu", "data", "fsize", "memlock", "nofile", "nproc", "stack")
_ENTRY = re.compile(r"([a-z]+) *= *([0-9]+) *(|[kmg]|[kmg]i?b)", re.IGNORECASE)
#: The one above it stands for none.
_LARGEST_ID = 2**32 - 2
_FACTORS = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30}


@dataclass(frozen=True, slots=True)
class WorkerUser:
    """An account of this machine. `name` and `home` are empty where a number stands for no known one."""

    uid: int
    gid: int
    #: All groups, its own included.
    groups: tuple[int, ...]
    name: str = ""
    home: str = ""

    def __str__(self) -> str:
        return f"{self.name or self.uid}:{self.gid}"

    @property
    def is_kept_from_files(self) -> bool:
        """Whether this user can change no file of the server's."""
        return self.uid not in (0, os.geteuid())


def parse_rlimits(text: str) -> tuple[tuple[str, int], ...]:
    """Return (("as", 4294967296), ("nofile", 1024)) for `as=4G, nofile=1024`. Raises ValueError."""
    limits: dict[str, int] = {}
    for part in text.split(","):
        if not part.strip():
            continue
        entry = _ENTRY.fullmatch(part.strip())
        if entry is None:
            raise ValueError(f"a limit is written name=number, not {brief(part.strip())}")
        name, number, unit = entry.groups()
        if name.lower() not in RLIMITS:
            raise ValueError(f"not a limit: {brief(name)}; there are {', '.join(RLIMITS)}")
        limits[name.lower()] = int(number) * _FACTORS[unit[:1].lower()]
    return tuple(limits.items())


def parse_user(text: str) -> WorkerUser | None:
    """Return the account that `name`, `name:group` or numbers say. Raises ValueError for one that we may not become."""
    import grp
    import pwd

    user_text, _, group_text = text.strip().partition(":")
    if not user_text:
        return None
    try:
        account = pwd.getpwuid(int(user_text)) if user_text.isdecimal() else pwd.getpwnam(user_text)
    except (KeyError, OverflowError):
        if not user_text.isdecimal():
            raise ValueError(f"not a user of this machine: {brief(user_text)}") from None
        account = None
    uid = int(user_text) if account is None else account.pw_uid
    gid = uid if account is None else account.pw_gid
    if group_text:
        try:
            gid = int(group_text) if group_text.isdecimal() else grp.getgrnam(group_text).gr_gid
        except KeyError:
            raise ValueError(f"not a group of this machine: {brief(group_text)}") from None
    if max(uid, gid) > _LARGEST_ID:
        raise ValueError(f"not the number of a user or group: {brief(max(uid, gid))}")
    if os.geteuid() not in (0, uid):
        raise ValueError("not a server that root started, and only root can run workers as others")
    if account is None:
        return WorkerUser(uid, gid, (gid,))
    groups = (gid,) if group_text else tuple(os.getgrouplist(account.pw_name, gid))
    return WorkerUser(uid, gid, groups, account.pw_name, account.pw_dir)
