"""Models and the files that belong to them."""

from __future__ import annotations

from mms.mlrun.stand_in import offer

#: A package: of what is not in one, Python asks nobody why.
__path__: list[str] = []

__getattr__, __dir__ = offer(
    __name__,
    {
        "get_model": "mms.mlrun.artifacts",
        "ModelArtifact": "mms.mlrun.model_spec",
        "ModelSpec": "mms.mlrun.model_spec",
    },
)
