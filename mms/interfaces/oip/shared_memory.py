"""System shared memory of clients on the same machine: files below /dev/shm that hold tensors.

They are read and written, never mapped: a client that makes its file smaller meanwhile hurts nobody.
"""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

from mms.tensors.errors import InferError
from mms.text.brief import brief

FOLDER: Final = "/dev/shm"
REGION: Final = "shared_memory_region"
_SIZE: Final = "shared_memory_byte_size"
_OFFSET: Final = "shared_memory_offset"
_MEMBERS: Final = (REGION, _SIZE, _OFFSET)
_KEY: Final = re.compile(r"/?[A-Za-z0-9_][A-Za-z0-9._-]{0,199}")


class Region(NamedTuple):
    """A part of a file that a client has registered, in bytes. `key`: the file's name, as clients write it."""

    key: str
    offset: int
    byte_size: int


class Slot(NamedTuple):
    """Where a tensor lies in a region, in bytes. `offset`: in the region."""

    name: str
    region: Region
    offset: int
    byte_size: int

    @property
    def parameters(self) -> dict[str, Any]:
        """What an answer says of an output that is there."""
        found: dict[str, Any] = {REGION: self.name, _SIZE: self.byte_size}
        return {**found, _OFFSET: self.offset} if self.offset else found


class Regions:
    """The registered regions, as a request carries them to its worker."""

    def __init__(self, text: str) -> None:
        """`text`: what `text_of` has made; empty for none."""
        self._text = text
        self._regions: dict[str, Region] | None = None
        #: What the inputs of the request may have yet, in bytes.
        self._left = 0

    def __repr__(self) -> str:
        return f"<Regions {self._text[:40]}>"

    @staticmethod
    def text_of(regions: Mapping[str, Region], most_bytes: int) -> str:
        """`most_bytes`: what the inputs of one request may have there together."""
        return json.dumps([most_bytes, regions]) if regions else ""

    def take(self, parameters: Any, what: str) -> Slot | None:
        """Take what parameters say of shared memory out of them; None where they say nothing. Raises InferError."""
        if REGION not in parameters:
            for member in _MEMBERS:
                if member in parameters:
                    raise InferError(f"{what} has {member}, but no {REGION}.")
            return None
        name, size, offset = (parameters.pop(member, 0) for member in _MEMBERS)
        if self._regions is None:
            self._left, said = json.loads(self._text or "[0, {}]")
            self._regions = {each: Region(*region) for each, region in said.items()}
        region = self._regions.get(name) if isinstance(name, str) else None
        if region is None:
            raise InferError(
                f"{what} is in the shared memory region {brief(name)}, which is not registered."
            )
        for member, value in ((_SIZE, size), (_OFFSET, offset)):
            if type(value) is not int or value < 0:
                raise InferError(f"{what} has {member} {brief(value)}; a number of bytes is right.")
        if offset + size > region.byte_size:
            raise InferError(
                f"{what} ends {offset + size} bytes into the region {brief(name)}, which has {region.byte_size}."
            )
        return Slot(name, region, offset, size)

    def read(self, slot: Slot, what: str) -> bytearray:
        """Return the bytes of an input. Raises InferError where they are not there, or more than a request may have.

        A file can be far larger than the memory that it takes, and many inputs can lie in the same place.
        """
        if slot.byte_size > self._left:
            raise InferError(
                f"{what} has {slot.byte_size} bytes in shared memory; max_request_size leaves {self._left} for it.",
                413,
            )
        self._left -= slot.byte_size
        return read_slot(slot)


def check_region(region: Region) -> None:
    """Raise ValueError for a region that is none: no file of this user, or beyond its end."""
    try:
        with _opened(region):
            pass
    except InferError as error:
        raise ValueError(error.message) from None


def read_slot(slot: Slot) -> bytearray:
    """Return the bytes of a tensor. Raises InferError where they are not there."""
    content = bytearray(slot.byte_size)
    with _opened(slot.region) as file:
        at = slot.region.offset + slot.offset
        view = memoryview(content)
        while view:
            count = os.preadv(file, [view], at)
            if not count:
                raise _too_small(slot.region)
            at += count
            view = view[count:]
    return content


def write_slot(slot: Slot, content: Any, what: str) -> Slot:
    """Write the bytes of an output. Return the slot with their number. Raises InferError where they have no room."""
    view = memoryview(content).cast("B")
    size = len(view)
    if size > slot.byte_size:
        raise InferError(
            f"{what} has {size} bytes; its place in shared memory has {slot.byte_size}."
        )
    with _opened(slot.region) as file:
        at = slot.region.offset + slot.offset
        while view:
            count = os.pwrite(file, view, at)
            at += count
            view = view[count:]
    return slot._replace(byte_size=size)


@contextmanager
def _opened(region: Region) -> Iterator[int]:
    """Raises InferError for what is no file of this user, or smaller than the region."""
    if not _KEY.fullmatch(region.key):
        raise InferError(
            f"The key {brief(region.key)} is not the name of a shared memory object, such as /input_data."
        )
    path = os.path.join(FOLDER, region.key.lstrip("/"))
    try:
        file = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise InferError(
            f"The shared memory {brief(region.key)} cannot be opened: {error.strerror}."
        ) from None
    try:
        found = os.fstat(file)
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid():
            raise InferError(
                f"The shared memory {brief(region.key)} is not the server's own user's."
            )
        if found.st_size < region.offset + region.byte_size:
            raise _too_small(region)
        yield file
    finally:
        os.close(file)


def _too_small(region: Region) -> InferError:
    return InferError(
        f"The shared memory {brief(region.key)} is smaller than {region.offset + region.byte_size} bytes."
    )
