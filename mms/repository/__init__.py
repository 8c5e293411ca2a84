"""Where archives come from: the model store, http(s) downloads, and the folders they are unpacked to."""

from __future__ import annotations

from mms.repository.model_uri import ModelFiles, ModelUris
from mms.repository.repository import DOCUMENT_NAME, FetchedArchive, Repository
from mms.repository.requirements import RequirementsFailed

__all__ = [
    "DOCUMENT_NAME",
    "FetchedArchive",
    "ModelFiles",
    "ModelUris",
    "Repository",
    "RequirementsFailed",
]
