"""The regions of system shared memory that clients have registered, over REST and gRPC."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

from mms.core import Registry
from mms.errors import BadRequest, Conflict, NotImplementedHere
from mms.interfaces.oip.settings import OipSettings
from mms.interfaces.oip.shared_memory import Region, Regions, check_region
from mms.security import is_loopback
from mms.text.brief import brief
from mms.wire import ModelOperation

if TYPE_CHECKING:
    from mms.serving import ModelHost
    from mms.settings import Settings

logger = logging.getLogger("mms.serving")

#: Each request carries all of them to its worker, and some hundred of such texts are remembered.
_MOST_REGIONS: Final = 64
_MOST_TEXT: Final = 16 * 1024
_MOST_NAME: Final = 128
_MOST_BYTES: Final = 2**62


class SharedMemory:
    """The regions of one server."""

    def __init__(self, registry: Registry[Any], *, is_on: bool, most_bytes: int) -> None:
        """`most_bytes`: what the inputs of one request may have there together."""
        self._registry = registry
        self._most_bytes = most_bytes
        self.is_on = is_on
        self._regions: dict[str, Region] = {}
        self._text = ""

    def __repr__(self) -> str:
        return f"<SharedMemory, {len(self._regions)} regions>"

    def operation(self, operation: ModelOperation) -> ModelOperation:
        """Return an inference with the regions that its tensors may lie in."""
        return operation._replace(path=self._text) if self._text else operation

    def register(self, name: Any, key: Any, offset: Any, byte_size: Any) -> None:
        """Raises NotImplementedHere where the setting is off, BadRequest, and Conflict for a name that is taken."""
        self.check_on()
        if not isinstance(name, str) or not 0 < len(name) <= _MOST_NAME:
            raise BadRequest(
                f"The name of a region is {brief(name)}; a text of up to {_MOST_NAME} characters is right."
            )
        if not isinstance(key, str):
            raise BadRequest(f"The key is {brief(key)}; a text such as /input_data is right.")
        for what, value in (("offset", offset), ("byte_size", byte_size)):
            if type(value) is not int or not 0 <= value < _MOST_BYTES:
                raise BadRequest(f"The {what} is {brief(value)}; a number of bytes is right.")
        if name in self._regions:
            raise Conflict(f"The shared memory region {brief(name)} is registered already.")
        if len(self._regions) >= _MOST_REGIONS:
            raise BadRequest(f"{_MOST_REGIONS} shared memory regions are the most.")
        region = Region(key, offset, byte_size)
        try:
            check_region(region)
        except ValueError as error:
            raise BadRequest(str(error)) from None
        regions = {**self._regions, name: region}
        if len(Regions.text_of(regions, self._most_bytes)) > _MOST_TEXT:
            raise BadRequest(
                f"The names and keys of the shared memory regions have more than {_MOST_TEXT} characters together; "
                "shorter ones are right."
            )
        self._change(regions)

    def unregister(self, name: str | None) -> None:
        """Forget a region, or all; one that is not there is forgotten already. Raises NotImplementedHere."""
        self.check_on()
        self._change(
            {each: region for each, region in self._regions.items() if name and each != name}
        )

    def status(self, name: str | None) -> list[dict[str, Any]]:
        """Return the regions, or one. Raises NotImplementedHere, and BadRequest for one that is not there."""
        self.check_on()
        if name and name not in self._regions:
            raise BadRequest(f"The shared memory region {brief(name)} is not registered.")
        return [
            {"name": each, **region._asdict()}
            for each, region in self._regions.items()
            if not name or each == name
        ]

    def _change(self, regions: Mapping[str, Region]) -> None:
        self._regions = dict(regions)
        self._text = Regions.text_of(self._regions, self._most_bytes)
        # Routes are remembered with what their requests carry.
        self._registry.changed()

    def check_on(self) -> None:
        """Raises NotImplementedHere."""
        if not self.is_on:
            raise NotImplementedHere(
                "This server does not have the system shared memory of the protocol: oip_shared_memory is false."
            )


#: By the registry of a server's models.
_MEMORIES: WeakKeyDictionary[Registry[Any], SharedMemory] = WeakKeyDictionary()


def shared_memory_of(settings: Settings, host: ModelHost) -> SharedMemory:
    """Return the regions of a server, which its protocols share."""
    found = _MEMORIES.get(host.registry)
    if found is None:
        is_on = settings.of(OipSettings).oip_shared_memory
        found = _MEMORIES[host.registry] = SharedMemory(
            host.registry, is_on=is_on, most_bytes=settings.max_request_size
        )
        if is_on and not is_loopback(settings.inference_address):
            logger.warning(
                "oip_shared_memory=true: whoever can connect to %s can have files of this user in /dev/shm read and "
                "written.",
                settings.inference_address,
            )
    return found
