"""Constructor parameters, the names of variables, and annotations."""

from __future__ import annotations

import logging

from mms.interfaces.seldon.components.parameters import ENVIRONMENT_NAME
from mms.interfaces.seldon.components.parameters import parse_parameters as parse_parameters

from ._elsewhere import names_elsewhere
from .flask_utils import ANNOTATIONS_FILE
from .flask_utils import SeldonMicroserviceException as SeldonMicroserviceException

__getattr__ = names_elsewhere(__name__)

PARAMETERS_ENV_NAME = ENVIRONMENT_NAME
ANNOTATION_REST_TIMEOUT = "seldon.io/rest-timeout"
#: Seconds.
DEFAULT_ANNOTATION_REST_TIMEOUT = 5000
DEFAULT_LOG_LEVEL = "INFO"
FILTER_METRICS_ACCESS_LOGS_ENV_NAME = "FILTER_METRICS_ACCESS_LOGS"
GUNICORN_ACCESS_LOG_ENV = "GUNICORN_ACCESS_LOG"
USE_MULTIPROCESS_ENV_NAME = "USE_MULTIPROCESS_PACKAGE"
USE_MULTIPROCESS = False
HTTP_SERVICE_PORT_ENV_NAME = "PREDICTIVE_UNIT_HTTP_SERVICE_PORT"
GRPC_SERVICE_PORT_ENV_NAME = "PREDICTIVE_UNIT_GRPC_SERVICE_PORT"
METRICS_SERVICE_PORT_ENV_NAME = "PREDICTIVE_UNIT_METRICS_SERVICE_PORT"
LOG_LEVEL_ENV = "SELDON_LOG_LEVEL"
DEBUG_ENV = "SELDON_DEBUG"
DEFAULT_HTTP_PORT = 9000
DEFAULT_GRPC_PORT = 5000
DEFAULT_METRICS_PORT = 6000

logger = logging.getLogger(__name__)


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
