"""Stands in for MLRun's package where that is not installed: what serving classes and their tests import of it.

Its other modules have no files: `mms.interfaces.mlrun.authoring.stand_in` makes them when they are imported.
"""

from __future__ import annotations

import sys

from mms.interfaces.mlrun.authoring.stand_in import install, set_up

#: By this the stand-in is told from MLRun's package.
is_stand_in = True

#: The version whose names and behaviour these are, and that they are not its own.
__version__ = "1.7.2+mms"

install()
set_up(sys.modules[__name__])
