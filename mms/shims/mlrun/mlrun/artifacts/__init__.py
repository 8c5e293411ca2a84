"""Models and the files that belong to them."""

from __future__ import annotations

from mms.mlrun.stand_in import offer

__getattr__, __dir__ = offer(
    __name__,
    {
        "get_model": "mms.mlrun.artifacts",
        "ModelArtifact": "mms.mlrun.model_spec",
        "model": ".artifacts.model",
    },
)
