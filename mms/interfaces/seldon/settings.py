"""The settings that Seldon components and their protocol have."""

from __future__ import annotations

from dataclasses import dataclass

from mms.settings.option import BOOLEAN, INFERENCE_ADDRESS, PATH, choice, option
from mms.text.address import Address

_SECTION = "Seldon"


@dataclass(slots=True)
class SeldonSettings:
    """The values of the settings, under their names in a properties file."""

    seldon_shim: str = option(
        choice("auto", "shim", "real"),
        _SECTION,
        "What a component imports as `seldon_core`: shim, what this server brings along; real, the installed package; "
        "auto, the installed one where there is one, else the shim.",
        "auto",
        is_own=True,
    )
    seldon_strict: bool = option(
        BOOLEAN,
        _SECTION,
        "Answer as Seldon's own wrapper does, also where this server does better, such as 500 for an unknown route.",
        "false",
        is_own=True,
    )
    validate_inputs: bool = option(
        BOOLEAN,
        _SECTION,
        "Check requests to components against the inputs that their metadata declare; what does not fit gets "
        "400. The parameter of the same name sets it for one model.",
        "false",
        is_own=True,
    )
    seldon_address: Address | None = option(
        INFERENCE_ADDRESS,
        _SECTION,
        "One more listener, with Seldon's routes alone; port 9000 in Seldon's images. They are on the inference "
        "listener, too.",
        is_own=True,
    )
    seldon_metrics_address: Address | None = option(
        INFERENCE_ADDRESS,
        _SECTION,
        "One more listener for metrics alone, on `/metrics` and `/prometheus`; port 6000 in Seldon's images.",
        is_own=True,
    )
    seldon_metrics_path: str = option(
        PATH,
        _SECTION,
        "One more path for metrics on the listener for metrics.",
        "/metrics",
        is_own=True,
    )
