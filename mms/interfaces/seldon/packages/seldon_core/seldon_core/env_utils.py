"""What the environment says of the deployment."""

from __future__ import annotations

import os

from mms.interfaces.seldon.meta import UNKNOWN_IMAGE, UNKNOWN_UNIT
from mms.interfaces.seldon.series import predictor_version

ENV_MODEL_NAME = "PREDICTIVE_UNIT_ID"
ENV_MODEL_IMAGE = "PREDICTIVE_UNIT_IMAGE"
ENV_SELDON_DEPLOYMENT_NAME = "SELDON_DEPLOYMENT_ID"
ENV_PREDICTOR_NAME = "PREDICTOR_ID"
ENV_PREDICTOR_LABELS = "PREDICTOR_LABELS"
NONIMPLEMENTED_MSG = UNKNOWN_UNIT
NONIMPLEMENTED_IMAGE_MSG = UNKNOWN_IMAGE


def get_predictor_version(default_val: str = NONIMPLEMENTED_MSG) -> str:
    return predictor_version(default_val)


def get_predictor_name(default_val: str = NONIMPLEMENTED_MSG) -> str:
    return os.environ.get(ENV_PREDICTOR_NAME, default_val)


def get_deployment_name(default_val: str = NONIMPLEMENTED_MSG) -> str:
    return os.environ.get(ENV_SELDON_DEPLOYMENT_NAME, default_val)


def get_model_name(default_val: str = NONIMPLEMENTED_MSG) -> str:
    return os.environ.get(ENV_MODEL_NAME, default_val)


def get_image_name(default_val: str = NONIMPLEMENTED_IMAGE_MSG) -> str:
    return os.environ.get(ENV_MODEL_IMAGE, default_val)
