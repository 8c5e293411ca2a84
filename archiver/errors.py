"""What the archiver raises. Each message is for the person who made or named the archive."""

from __future__ import annotations


class ArchiveError(Exception):
    """Base of everything the archiver raises on purpose."""


class InvalidArchive(ArchiveError):
    """The file is no archive, is damaged, or holds an entry that must not be unpacked. The message names it."""


class InvalidManifest(ArchiveError, ValueError):
    """The manifest cannot be read or lacks what a server needs.

    The message is the text that MMS gives its clients for the same fault; `detail` says more where there is more.
    """

    def __init__(self, message: str, detail: str | None = None) -> None:
        super().__init__(message)
        self.detail = detail


class PackError(ArchiveError):
    """A model folder cannot be packed as asked."""
