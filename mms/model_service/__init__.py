"""Base classes of the services in archives of MMS's first format. New models do not need them."""

from __future__ import annotations
