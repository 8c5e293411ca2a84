"""The bases of services of MMS 0.x."""

from __future__ import annotations

from mms.model_service.model_service import ModelService as ModelService
from mms.model_service.model_service import SingleNodeService as SingleNodeService
