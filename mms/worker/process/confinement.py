"""What the operator allows this process, put into force before any code of a model runs. Forks inherit it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from mms.text.brief import brief


def confine(rules: Mapping[str, Any]) -> None:
    """Take on the rules of `Load.confinement`. Raises OSError or ValueError, which name the rule."""
    for name, value in rules.get("rlimits", {}).items():
        _limit(name, value)
    user = rules.get("user")
    if user and (os.getuid(), os.getgid()) != (user["uid"], user["gid"]):
        try:
            os.setgroups(user["groups"])
            os.setgid(user["gid"])
            os.setuid(user["uid"])
        except OSError as error:
            raise OSError(f"cannot become user {user['uid']}: {error.strerror}") from None
        if not os.access(os.__file__, os.R_OK):
            # Else the first module that is missing would be told of, whichever that is.
            raise OSError(
                f"user {user['uid']} of the setting worker_user cannot read the interpreter's library: {os.__file__}"
            )


def _limit(name: str, value: int) -> None:
    import resource  # for Unix alone, as the limits are

    try:
        number = getattr(resource, f"RLIMIT_{name.upper()}")
    except AttributeError:
        raise ValueError(f"this system has no limit {brief(name)}") from None
    _, hard = resource.getrlimit(number)
    if hard != resource.RLIM_INFINITY and value > hard and os.geteuid() != 0:
        # What is stricter already stays.
        value = hard
    try:
        resource.setrlimit(number, (value, value))
    except (OSError, ValueError) as error:
        raise ValueError(f"cannot limit {name} to {value}: {error}") from None
