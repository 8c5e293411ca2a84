"""The build's one choice: with MMS_COMPILE=1 the modules of the hot path are compiled by mypyc, from the same source.

Without it, and for whatever is not in MODULES, the package is pure Python. docs/performance.md has what it brings.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from setuptools import setup

#: What runs for each request or batch in the front. A module whose classes are subclassed is here with its subclasses.
MODULES = (
    "mms/core/batch_record.py",
    "mms/core/batching/adaptive.py",
    "mms/core/batching/cost.py",
    "mms/core/batching/fixed.py",
    "mms/core/batching/policy.py",
    "mms/core/batching/size_classes.py",
    "mms/core/chosen_policy.py",
    "mms/core/ids.py",
    "mms/core/model.py",
    "mms/core/sequences/version.py",
    "mms/core/priority_queue.py",
    "mms/core/registry.py",
    "mms/core/request.py",
    "mms/core/worker.py",
    "mms/http/answers.py",
    "mms/http/lane/account.py",
    "mms/http/lane/body.py",
    "mms/http/lane/connection.py",
    "mms/http/lane/counted.py",
    "mms/http/lane/front.py",
    "mms/http/lane/head.py",
    "mms/http/lane/lifetime.py",
    "mms/http/lane/request.py",
    "mms/launch/accepting.py",
    "mms/launch/connection.py",
    "mms/launch/nodes/link.py",
    "mms/limits/memory.py",
    "mms/observe/recorder.py",
    "mms/serving/dispatcher.py",
    "mms/serving/workers/recycling.py",
    "mms/serving/workers/runner.py",
    "mms/wire/answer_head.py",
    "mms/wire/batches.py",
    "mms/wire/frames.py",
)


def compiled() -> dict[str, Any]:
    """Return what `setup` is told where modules are compiled."""
    needed = ["mypy>=1.13", "types-psutil>=5.9", "types-PyYAML>=6.0"]
    if "egg_info" in sys.argv:
        # What is needed is asked for before it is there.
        return {"setup_requires": needed}
    from mypyc.build import mypycify

    flags = (
        "--config-file=",
        "--strict-bytes",
        "--ignore-missing-imports",
        "--explicit-package-bases",
    )
    return {"ext_modules": mypycify([*flags, *MODULES], opt_level="3", group_name="marserve")}


def is_asked_for() -> bool:
    """Return whether MMS_COMPILE asks for compiled modules. Raises SystemExit where it is neither 0 nor 1."""
    value = os.environ.get("MMS_COMPILE", "")
    if value not in ("", "0", "1"):
        sys.exit(f"MMS_COMPILE is {value!r}; 1 compiles the hot path, 0 or nothing does not.")
    return value == "1"


setup(**(compiled() if is_asked_for() else {}))
