"""Where archives come from: the model store, http(s) downloads, and the folders they are unpacked to."""

from __future__ import annotations

from mms.repository.model_uri import ModelFiles, ModelUris
from mms.repository.repository import FetchedArchive, Repository

__all__ = ["FetchedArchive", "ModelFiles", "ModelUris", "Repository"]
