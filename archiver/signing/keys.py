"""Key pairs of those who sign archives: Ed25519, in PEM files that openssl reads, too."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from archiver.errors import ArchiveError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import (
        Ed25519PrivateKey,
        Ed25519PublicKey,
    )

#: What a folder of trusted keys is searched for.
PUBLIC_SUFFIXES: Final = (".pub", ".pem")
PRIVATE_SUFFIX: Final = ".key"
# An Ed25519 key in PEM has some hundred bytes.
_MAX_KEY_BYTES: Final = 64 * 1024
_ID_BYTES: Final = 16


class InvalidKey(ArchiveError):
    """A key file cannot be used. The message names it and what would be right."""


@dataclass(frozen=True, slots=True)
class TrustedKeys:
    """Public keys by their ids. An archive is trusted when one of them has signed it."""

    keys: Mapping[str, Ed25519PublicKey]

    @classmethod
    def load(cls, paths: Iterable[str | os.PathLike[str]]) -> TrustedKeys:
        """Read PEM files with a public key each, and folders with such files. Raises InvalidKey."""
        keys: dict[str, Ed25519PublicKey] = {}
        for path in paths:
            for file in _key_files(Path(path)):
                key = load_public_key(file)
                keys[key_id(key)] = key
        return cls(keys)

    def is_signed_by(self, identity: str, signature: bytes, content: bytes) -> bool:
        """Return whether `signature` is of the key `identity` over `content`; False for a key that is not trusted."""
        # Imported here, as everywhere in this file: most who open archives never look at a signature.
        from cryptography.exceptions import InvalidSignature

        key = self.keys.get(identity)
        if key is None:
            return False
        try:
            key.verify(signature, content)
        except InvalidSignature:
            return False
        return True


def key_id(key: Ed25519PublicKey) -> str:
    """Return 32 hexadecimal digits that tell a key from others."""
    return hashlib.sha256(key.public_bytes_raw()).hexdigest()[: 2 * _ID_BYTES]


def generate_key(stem: Path, passphrase: bytes | None = None) -> tuple[Path, Path, str]:
    """Writes a new pair as `<stem>.key`, readable by its owner alone, and `<stem>.pub`.

    Returns both and the key's id. Raises FileExistsError, OSError.
    """
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    private, public = (
        stem.with_name(stem.name + PRIVATE_SUFFIX),
        stem.with_name(stem.name + PUBLIC_SUFFIXES[0]),
    )
    if os.path.lexists(public):
        raise FileExistsError(f"{public} exists already; keys are never replaced")
    key = Ed25519PrivateKey.generate()
    encryption = (
        serialization.BestAvailableEncryption(passphrase)
        if passphrase
        else serialization.NoEncryption()
    )
    text = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption
    )
    _write_new(private, text, 0o600)
    try:
        text = key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        _write_new(public, text, 0o644)
    except BaseException:
        private.unlink()
        raise
    return private, public, key_id(key.public_key())


def load_private_key(path: Path, passphrase: bytes | None = None) -> Ed25519PrivateKey:
    """Read a private key. Raises InvalidKey, OSError."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(_read(path), passphrase)
    except TypeError:
        wanted = "needs its passphrase" if passphrase is None else "has no passphrase"
        raise InvalidKey(f"{path}: the private key {wanted}") from None
    except (ValueError, UnsupportedAlgorithm) as error:
        if passphrase is not None and "decrypt" in str(error):
            raise InvalidKey(f"{path}: the passphrase is wrong") from None
        raise InvalidKey(f"{path} is not a private key in PEM form") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise InvalidKey(f"{path} is not an Ed25519 key; `model-archiver keygen` makes one")
    return key


def load_public_key(path: Path) -> Ed25519PublicKey:
    """Read a public key. Raises InvalidKey, also where the file cannot be read."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        text = _read(path)
    except OSError as error:
        raise InvalidKey(f"{path} cannot be read: {error.strerror or error}") from None
    if b"PRIVATE KEY" in text:
        raise InvalidKey(f"{path} is a private key; give the public key, as in NAME.pub")
    try:
        key = load_pem_public_key(text)
    except (ValueError, UnsupportedAlgorithm):
        raise InvalidKey(f"{path} is not a public key in PEM form") from None
    if not isinstance(key, Ed25519PublicKey):
        raise InvalidKey(f"{path} is not an Ed25519 key")
    return key


def is_readable_by_others(path: Path) -> bool:
    return bool(path.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH))


def _key_files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    try:
        return sorted(file for file in path.iterdir() if file.suffix in PUBLIC_SUFFIXES)
    except OSError as error:
        raise InvalidKey(f"{path} cannot be read: {error.strerror or error}") from None


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_MAX_KEY_BYTES)


def _write_new(path: Path, text: bytes, mode: int) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    except FileExistsError:
        raise FileExistsError(f"{path} exists already; keys are never replaced") from None
    with os.fdopen(descriptor, "wb") as file:
        file.write(text)
