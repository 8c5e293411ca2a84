"""MLRun's serving contract: model servers, routers, graphs, functions and the harness for tests of them.

The names for people who write and test models are here, as in `mlrun` and `mlrun.serving`. Each is imported when it is
used, as most models need few.
"""

from __future__ import annotations

#: typing takes longer to import than all of this.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_OWN = {
    "ServingFunction": "mms.interfaces.mlrun.authoring.function:ServingFunction",
    "use_mlrun_shim": "mms.interfaces.mlrun.authoring.shim:use_mlrun_shim",
}


def __getattr__(name: str) -> Any:
    from mms.interfaces.mlrun.authoring.stand_in import PLACE_OF

    place = _OWN.get(name) or PLACE_OF.get(name)
    if place is None:
        raise AttributeError(f"module {__name__} has no attribute {name}")
    from importlib import import_module

    module, _, its_name = place.partition(":")
    found = getattr(import_module(module), its_name)
    # The next time it is there without asking.
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    from mms.interfaces.mlrun.authoring.stand_in import PLACE_OF

    return sorted({*globals(), *_OWN, *PLACE_OF})
