"""Whose models are served where each must be signed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from archiver import Archive, InvalidKey, InvalidSignature, Limits, TrustedKeys
from mms.errors import ConfigurationError, InternalServerError
from mms.text.brief import brief

if TYPE_CHECKING:
    from mms.settings import Settings


@dataclass(frozen=True, slots=True)
class Trust:
    """`paths`: public keys in PEM files, and folders of such files. They are read anew for each model."""

    paths: tuple[str, ...]

    @classmethod
    def of_settings(cls, settings: Settings) -> Trust | None:
        """Return None where `require_signature` is off. Raises ConfigurationError where no key could be trusted."""
        if not settings.require_signature:
            return None
        paths = tuple(path.strip() for path in (settings.trusted_keys or "").split(","))
        trust = cls(tuple(path for path in paths if path))
        try:
            found = TrustedKeys.load(trust.paths)
        except InvalidKey as error:
            raise ConfigurationError(f"Invalid configuration: trusted_keys: {error}") from None
        if not found.keys:
            raise ConfigurationError(
                "Invalid configuration: require_signature=true needs trusted_keys: public keys as `model-archiver "
                "keygen` makes them, or folders with such files (.pub, .pem)"
            )
        return trust

    def keys(self) -> TrustedKeys:
        """Return the keys that are trusted now. Raises InternalServerError where a key cannot be read any more."""
        try:
            return TrustedKeys.load(self.paths)
        except InvalidKey as error:
            raise InternalServerError(f"trusted_keys: {error}") from None

    def check_folder(
        self, folder: Path, limits: Limits, raise_if_cancelled: Callable[[], object]
    ) -> None:
        """Raise InvalidSignature for a folder of the cache that no trusted key has signed, and OSError."""
        with Archive.open(folder, limits=limits) as archive:
            signature, _ = archive.trusted_signature(self.keys())
            for entry in archive.entries:
                if entry.is_link:
                    raise InvalidSignature(
                        f"{brief(entry.name)} is a link; what it leads to is not signed."
                    )
                digest = hashlib.sha256()
                for chunk in archive.chunks(entry.name):
                    raise_if_cancelled()
                    digest.update(chunk)
                signature.check_content(entry.name, digest.hexdigest())
