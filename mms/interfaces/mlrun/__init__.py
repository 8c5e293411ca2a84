"""MLRun's serving contract: model servers, routers, graphs, functions and the harness for tests of them.

The names for people who write and test models are here, as in `mlrun` and `mlrun.serving`. Each is imported when it is
used, as most models need few.
"""

from __future__ import annotations

from mms.lazy_names import lazy_name

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

    return lazy_name(__name__, name, {**PLACE_OF, **_OWN})


def __dir__() -> list[str]:
    from mms.interfaces.mlrun.authoring.stand_in import PLACE_OF

    return sorted({*globals(), *_OWN, *PLACE_OF})
