"""`python -m mms.cli.pages.registration`: the page of a registration's parameters, Markdown."""

from __future__ import annotations

import sys

from mms.interfaces.mlrun.registration import ServerParameters
from mms.interfaces.seldon.registration import ComponentParameters
from mms.registration import ModelParameters, ScaleParameters
from mms.registration.page import registration_page


def document() -> str:
    """Return the whole page."""
    sections = (
        ("Of every model", ModelParameters),
        ("Of Seldon components, servers for saved models and graphs", ComponentParameters),
        ("Of MLRun's model servers and functions", ServerParameters),
    )
    return registration_page(sections, ScaleParameters)


if __name__ == "__main__":
    sys.stdout.write(document())
