"""Constructor parameters, the names of variables, and annotations."""

from __future__ import annotations

import logging

from mms.seldon.parameters import ENVIRONMENT_NAME as PARAMETERS_ENV_NAME
from mms.seldon.parameters import parse_parameters

from .flask_utils import ANNOTATIONS_FILE, SeldonMicroserviceException

HTTP_SERVICE_PORT_ENV_NAME = "PREDICTIVE_UNIT_HTTP_SERVICE_PORT"
GRPC_SERVICE_PORT_ENV_NAME = "PREDICTIVE_UNIT_GRPC_SERVICE_PORT"
METRICS_SERVICE_PORT_ENV_NAME = "PREDICTIVE_UNIT_METRICS_SERVICE_PORT"
LOG_LEVEL_ENV = "SELDON_LOG_LEVEL"
DEBUG_ENV = "SELDON_DEBUG"
DEFAULT_HTTP_PORT = 9000
DEFAULT_GRPC_PORT = 5000
DEFAULT_METRICS_PORT = 6000

logger = logging.getLogger(__name__)

__all__ = [
    "DEBUG_ENV",
    "DEFAULT_GRPC_PORT",
    "DEFAULT_HTTP_PORT",
    "DEFAULT_METRICS_PORT",
    "GRPC_SERVICE_PORT_ENV_NAME",
    "HTTP_SERVICE_PORT_ENV_NAME",
    "LOG_LEVEL_ENV",
    "METRICS_SERVICE_PORT_ENV_NAME",
    "PARAMETERS_ENV_NAME",
    "SeldonMicroserviceException",
    "load_annotations",
    "parse_parameters",
]


def load_annotations(path: str = ANNOTATIONS_FILE) -> dict[str, str]:
    """The lines `key="value"` of the annotations' file; {} where there is none."""
    annotations = {}
    try:
        with open(path, encoding="utf-8") as file:
            for line in file:
                key, equals, value = line.partition("=")
                if equals:
                    annotations[key.strip()] = value.strip()[1:-1]
    except FileNotFoundError:
        return {}
    except (OSError, ValueError):
        logger.exception("Cannot read the annotations in %s", path)
    return annotations
