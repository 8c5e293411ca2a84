"""`python -m mms.cli.pages.registration`: the page of a registration's parameters, Markdown."""

from __future__ import annotations

import sys

from mms.interfaces.parameters import InterfaceParameters
from mms.registration import ScaleParameters
from mms.registration.page import registration_page


def document() -> str:
    """Return the whole page."""
    return registration_page(InterfaceParameters, ScaleParameters)


if __name__ == "__main__":
    sys.stdout.write(document())
