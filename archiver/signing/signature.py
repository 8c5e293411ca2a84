"""The signature of an archive: what it says, as a text file, and whether it holds.

A signature lists the SHA-256 of every file of the archive but itself, by its name, and what keys have signed the list:

    model-archive-signature 1
    ed25519 <key id> <signature in base64>
    <SHA-256>  MAR-INF/MANIFEST.json
    <SHA-256>  service.py

Signed are the first line and the list, without the lines of keys. It says the same of a `.mar`, a `.tar.gz` and a
folder with these files.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from archiver.errors import InvalidArchive
from mms.text.brief import brief

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from archiver.signing.keys import TrustedKeys

SIGNATURE_NAME: Final = "MAR-INF/SIGNATURE"
#: A signature beside an archive has the archive's file name with this behind it.
DETACHED_SUFFIX: Final = ".sig"
_TITLE: Final = "model-archive-signature 1"
_SIGNER: Final = re.compile(r"ed25519 ([0-9a-f]{32}) ([A-Za-z0-9+/]{86}==)")
_ENTRY: Final = re.compile(r"([0-9a-f]{64})  (.+)")
_MAX_SIGNERS: Final = 16
# Bytes of a line besides what varies; of all lines before the list.
_ENTRY_BYTES: Final = 67
_HEAD_BYTES: Final = 4096
# Names that a message lists before it only counts.
_SHOWN: Final = 3


class InvalidSignature(InvalidArchive):
    """An archive has no signature, not that of a trusted key, or other files than were signed. The message names it."""


@dataclass(frozen=True, slots=True)
class Signature:
    """`entries`: SHA-256 in hexadecimal by file name. `signers`: signature by key id."""

    entries: Mapping[str, str]
    signers: Mapping[str, bytes]

    @classmethod
    def parse(cls, data: bytes) -> Signature:
        """Read a signature's text. Raises InvalidSignature naming the line."""
        try:
            lines = data.decode().split("\n")
        except UnicodeDecodeError:
            raise InvalidSignature("The archive's signature is not UTF-8.") from None
        if lines[0] != _TITLE:
            raise InvalidSignature(f"The archive's signature does not begin with {_TITLE!r}.")
        if lines[-1] != "":
            raise InvalidSignature("The archive's signature is cut short.")
        signers: dict[str, bytes] = {}
        entries: dict[str, str] = {}
        for number, line in enumerate(lines[1:-1], 2):
            entry = _ENTRY.fullmatch(line)
            if entry is not None and (not entries or entry[2] > next(reversed(entries))):
                entries[entry[2]] = entry[1]
                continue
            signer = _SIGNER.fullmatch(line)
            if signer is None or entries or signer[1] in signers or len(signers) >= _MAX_SIGNERS:
                raise InvalidSignature(f"The archive's signature is wrong in line {number}.")
            signers[signer[1]] = base64.b64decode(signer[2])
        return cls(entries, signers)

    @classmethod
    def over(cls, entries: Mapping[str, str]) -> Signature:
        """Return a list of files that nobody has signed yet."""
        return cls(dict(sorted(entries.items())), {})

    def signed_by(self, key: Ed25519PrivateKey) -> Signature:
        """Return this signature with that of one more key."""
        from archiver.signing.keys import key_id

        signers = {**self.signers, key_id(key.public_key()): key.sign(self.signed_bytes())}
        if len(signers) > _MAX_SIGNERS:
            raise InvalidSignature(f"An archive has at most {_MAX_SIGNERS} signers.")
        return Signature(self.entries, signers)

    def signed_bytes(self) -> bytes:
        """Return the bytes that keys sign."""
        return "\n".join([_TITLE, *self._entry_lines(), ""]).encode()

    def to_bytes(self) -> bytes:
        lines = [
            f"ed25519 {identity} {base64.b64encode(signature).decode()}"
            for identity, signature in sorted(self.signers.items())
        ]
        return "\n".join([_TITLE, *lines, *self._entry_lines(), ""]).encode()

    def _entry_lines(self) -> list[str]:
        return [f"{sha256}  {name}" for name, sha256 in self.entries.items()]

    def check_signers(self, trusted: TrustedKeys) -> str:
        """Return the id of the trusted key that has signed. Raises InvalidSignature where none has."""
        content = self.signed_bytes()
        for identity, signature in self.signers.items():
            if trusted.is_signed_by(identity, signature, content):
                return identity
        known = [identity for identity in self.signers if identity in trusted.keys]
        if known:
            raise InvalidSignature(
                f"The archive's signature is not that of the key {known[0]} that it names: the list of its files was "
                "changed."
            )
        names = ", ".join(self.signers) or "nobody"
        raise InvalidSignature(f"The archive is signed by {names}, none of the trusted keys.")

    def check_names(self, names: Iterable[str]) -> None:
        """Raise InvalidSignature for files that are not in the list, and for those that are missing."""
        found = set(names) - {SIGNATURE_NAME}
        more = sorted(found - self.entries.keys())
        if more:
            raise InvalidSignature(f"{_listed(more)} not among the archive's signed files.")
        missing = sorted(self.entries.keys() - found)
        if missing:
            raise InvalidSignature(f"{_listed(missing)} signed but missing in the archive.")

    def check_content(self, name: str, sha256: str) -> None:
        """Raise InvalidSignature for a file whose content is not what was signed."""
        if name != SIGNATURE_NAME and self.entries.get(name) != sha256:
            raise InvalidSignature(f"The archive's entry {brief(name)} is not what was signed.")


def most_bytes(names: Iterable[str]) -> int:
    """Return how long the signature of an archive with these files may be."""
    return _HEAD_BYTES + sum(
        len(name.encode("utf-8", "surrogateescape")) + _ENTRY_BYTES for name in names
    )


def _listed(names: list[str]) -> str:
    shown = ", ".join(repr(name) for name in names[:_SHOWN])
    if len(names) > _SHOWN:
        shown += f" and {len(names) - _SHOWN} more"
    return f"{shown} {'is' if len(names) == 1 else 'are'}"
