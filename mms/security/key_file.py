"""The file of API keys: a line of JSON for each, with the key's hash and never the key.

Keys are 256 random bits, so that a plain SHA-256 tells nothing of them: salts and slow hashes are for what people
choose, and would cost each request milliseconds.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import secrets
import stat
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from mms.security.roles import ROLE_NAMES, Role

#: Of a whole key: a word by which scanners find keys that were published by mistake, the id, and the secret part.
_FORM = re.compile(rb"mms_([0-9a-f]{8})_[A-Za-z0-9_-]{43}")
_ID = re.compile(r"[0-9a-f]{8}")
_HASH = re.compile(r"[0-9a-f]{64}")
_SECRET_BYTES = 32
#: Far more than a file of keys needs.
_MAX_FILE_BYTES = 16 * 2**20
_MAX_NAME_CHARACTERS = 200


class InvalidKeyFile(Exception):
    """A file of keys that cannot be used. The message is one line that names it, and what would be right."""


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key without its secret. `digest`: SHA-256, hexadecimal. `expires_at`: seconds since 1970, None for never."""

    id: str
    name: str
    roles: frozenset[Role]
    digest: str
    created_at: float
    expires_at: float | None = None

    def is_valid(self, now: float) -> bool:
        return self.expires_at is None or now < self.expires_at

    def __str__(self) -> str:
        return f"{self.name} ({self.id})"


def id_of(text: bytes) -> bytes | None:
    """Return the id in a whole key; None for a text that is no key."""
    match = _FORM.fullmatch(text)
    return match[1] if match else None


def digest_of(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()


def new_key(
    name: str, roles: Iterable[Role], *, now: float, expires_at: float | None = None
) -> tuple[str, ApiKey]:
    """Return a new key: its text, which is shown once, and what the file keeps of it."""
    key_id = secrets.token_hex(4)
    text = f"mms_{key_id}_{secrets.token_urlsafe(_SECRET_BYTES)}"
    return text, ApiKey(
        key_id, name, frozenset(roles), digest_of(text.encode()), float(int(now)), expires_at
    )


def _without_waiting(path: str, flags: int) -> int:
    """Open a file; a pipe would be waited for."""
    return os.open(path, flags | os.O_NONBLOCK)


class KeyFile:
    """A file of keys by its path. Readable and writable by its owner alone, whatever made it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __repr__(self) -> str:
        return f"<KeyFile {self.path}>"

    def read(self) -> list[ApiKey]:
        """Return all keys, expired ones included. Raises FileNotFoundError and InvalidKeyFile."""
        path = self.path
        try:
            with open(path, "rb", opener=_without_waiting) as file:
                status = os.fstat(file.fileno())
                if not stat.S_ISREG(status.st_mode):
                    raise InvalidKeyFile(f"{path} is not a file")
                if status.st_mode & 0o077:
                    raise InvalidKeyFile(
                        f"{path} can be used by others than its owner (mode {status.st_mode & 0o777:04o}); "
                        f"chmod 600 {path}"
                    )
                data = file.read(_MAX_FILE_BYTES + 1)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise InvalidKeyFile(f"{path} cannot be read: {error.strerror}") from None
        if len(data) > _MAX_FILE_BYTES:
            raise InvalidKeyFile(f"{path} is larger than {_MAX_FILE_BYTES} bytes")
        keys: dict[str, ApiKey] = {}
        for number, line in enumerate(data.splitlines(), 1):
            if not line.strip() or line.lstrip().startswith(b"#"):
                continue
            try:
                key = _key_of(json.loads(line))
            except (ValueError, RecursionError) as error:
                raise InvalidKeyFile(
                    f"{path}:{number} is not a line that `mms keys create` wrote: {error}"
                ) from None
            if key.id in keys:
                raise InvalidKeyFile(f"{path}:{number} repeats the id {key.id}")
            keys[key.id] = key
        return list(keys.values())

    def change(self, edit: Callable[[list[ApiKey]], list[ApiKey]]) -> None:
        """Write what `edit` makes of the keys; none where there is no file. Two at once come one after the other.

        Raises InvalidKeyFile, OSError, and what `edit` raises.
        """
        folder = self.path.absolute().parent
        lock = os.open(folder, os.O_RDONLY)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            try:
                keys = self.read()
            except FileNotFoundError:
                keys = []
            self._write(edit(keys))
            os.fsync(lock)
        finally:
            os.close(lock)

    def _write(self, keys: list[ApiKey]) -> None:
        # A link is kept, and what it points to replaced.
        target = Path(os.path.realpath(self.path))
        lines = [json.dumps(_members_of(key), ensure_ascii=False) for key in keys]
        number, name = tempfile.mkstemp(prefix=f".{target.name}-", dir=target.parent)
        try:
            with open(number, "wb") as file:
                file.write("".join(f"{line}\n" for line in lines).encode())
                file.flush()
                if target.exists() and os.geteuid() == 0:
                    # The server's user reads it, root may change it.
                    status = target.stat()
                    os.fchown(file.fileno(), status.st_uid, status.st_gid)
                os.fsync(file.fileno())
            os.replace(name, target)
        except BaseException:
            os.unlink(name)
            raise


def _members_of(key: ApiKey) -> dict[str, Any]:
    return {
        "id": key.id,
        "name": key.name,
        "roles": [role.value for role in Role if role in key.roles],
        "sha256": key.digest,
        "created": time_text(key.created_at),
        "expires": None if key.expires_at is None else time_text(key.expires_at),
    }


def _key_of(members: Any) -> ApiKey:
    """Return the key that a line of the file describes. Raises ValueError."""
    if not isinstance(members, dict):
        raise ValueError("it is not a JSON object")
    key_id, name, digest = (members.get(word) for word in ("id", "name", "sha256"))
    if not isinstance(key_id, str) or not _ID.fullmatch(key_id):
        raise ValueError("id should be eight hexadecimal digits")
    if not isinstance(name, str) or not is_name(name):
        raise ValueError("name should be a text that can be printed")
    if not isinstance(digest, str) or not _HASH.fullmatch(digest):
        raise ValueError("sha256 should be 64 hexadecimal digits")
    roles = members.get("roles")
    if not isinstance(roles, list) or not roles or not all(role in ROLE_NAMES for role in roles):
        raise ValueError(f"roles should be a list of some of {', '.join(ROLE_NAMES)}")
    expires = members.get("expires")
    return ApiKey(
        key_id,
        name,
        frozenset(Role(role) for role in roles),
        digest,
        _time_of(members.get("created")),
        None if expires is None else _time_of(expires),
    )


def is_name(text: str) -> bool:
    """Return whether a key may have this name: it stands in log lines."""
    return 0 < len(text) <= _MAX_NAME_CHARACTERS and text.isprintable()


def time_text(seconds: float) -> str:
    """Return a time as the file has it, such as 2026-01-31T09:00:00Z."""
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def _time_of(text: Any) -> float:
    try:
        parsed = datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ")
    except (TypeError, ValueError):
        raise ValueError("a time should have the form 2026-01-31T09:00:00Z") from None
    return parsed.replace(tzinfo=timezone.utc).timestamp()
