"""What handlers of TorchServe import, by the same names, where TorchServe itself is not installed.

Source: the documentation of TorchServe 0.12, and the behaviour of its package.
"""

from __future__ import annotations

#: By this the stand-in is told from TorchServe's package.
is_stand_in = True

#: The version whose names and behaviour these are.
__version__ = "0.12.0"
