"""Every parameter of a registration once: calls, flags, files, descriptions and docs are made of these tables."""

from mms.registration.admission import AdmissionParameters
from mms.registration.kind import RUNTIMES, InvalidCall, InvalidValue, Kind, is_runtime
from mms.registration.options import Call, Options
from mms.registration.parameter import (
    REGISTER,
    SCALE,
    Key,
    Parameter,
    Shown,
    attribute,
    group,
    parameter,
    parameters_of,
)
from mms.registration.scaling import ScaleParameters

__all__ = [
    "REGISTER",
    "RUNTIMES",
    "SCALE",
    "AdmissionParameters",
    "Call",
    "InvalidCall",
    "InvalidValue",
    "Key",
    "Kind",
    "Options",
    "Parameter",
    "ScaleParameters",
    "Shown",
    "attribute",
    "group",
    "is_runtime",
    "parameter",
    "parameters_of",
]
