"""The operations that take no message: `health-status` and `metadata`."""

from __future__ import annotations

from typing import Any

from mms.interfaces.seldon.codec.forms import Form
from mms.interfaces.seldon.codec.json_text import dump_json
from mms.interfaces.seldon.components.calls import Call, CallParts
from mms.interfaces.seldon.components.formats import MessageFormat
from mms.interfaces.seldon.components.hooks import NOT_IMPLEMENTED, OwnHooks, ask
from mms.interfaces.seldon.components.results import Result, array_of_table, refuse_none
from mms.interfaces.seldon.errors import BAD_METADATA, SeldonMicroserviceException
from mms.interfaces.seldon.metadata import metadata_message, model_metadata
from mms.interfaces.seldon.unit import Unit

_HEALTHY = "healthy"
_ASSUMED = "not implemented - assuming healthy"
_RAW_HEALTH = "health_status_raw"


class HealthCall(Call):
    """`health_status_raw`, which is answered with 200 whatever it says, else `health_status`."""

    takes_message = False

    def __init__(self, parts: CallParts) -> None:
        super().__init__("health-status")
        self._parts = parts
        self._raw = parts.hooks.find(_RAW_HEALTH)
        self._hook = parts.hooks.find("health_status")

    def answer(self, messages: MessageFormat, content: Any, unit: Unit) -> tuple[int, bytes]:
        returned = NOT_IMPLEMENTED if self._raw is None else ask(self._raw)
        if returned is not NOT_IMPLEMENTED:
            return messages.raw_answer(returned, _RAW_HEALTH, self.operation, None, unit)
        parts = self._parts
        data = self._status()
        refuse_none(data, "health_status", parts.is_strict)
        result = Result(data, None, [], True)
        meta = parts.extras.meta(self.operation, unit, None, result, None, None)
        return 200, messages.encode(data, Form.NONE, parts.class_names, meta)

    def _status(self) -> Any:
        if self._hook is None:
            return _ASSUMED if self._parts.hooks.has_base else _HEALTHY
        returned = ask(self._hook)
        return _ASSUMED if returned is NOT_IMPLEMENTED else array_of_table(returned)[0]


class MetadataCall(Call):
    """`init_metadata` with the defaults of the unit's image, asked once."""

    takes_message = False

    def __init__(self, hooks: OwnHooks, is_strict: bool) -> None:
        """Raises whatever `init_metadata` raises, except that it is not implemented."""
        super().__init__("metadata")
        self._is_strict = is_strict
        hook = hooks.find("init_metadata")
        found = NOT_IMPLEMENTED if hook is None else ask(hook)
        self._own: Any = {} if found is NOT_IMPLEMENTED else found
        self._by_image: dict[str | None, dict[str, Any] | None] = {}

    def find(self, image: str | None) -> dict[str, Any] | None:
        """Return the metadata; None where they are invalid, which the log tells once for each image."""
        if image not in self._by_image:
            self._by_image[image] = model_metadata(self._own, image)
        return self._by_image[image]

    def answer(self, messages: MessageFormat, content: Any, unit: Unit) -> tuple[int, bytes]:
        """Return the metadata; invalid ones are empty in protobuf, else SeldonMicroserviceException (500) is raised."""
        found = self.find(unit.image)
        if messages.is_proto:
            return 200, messages.encode_message(metadata_message(found))
        if found is None:
            raise SeldonMicroserviceException(
                "Model metadata unavailable", status_code=500, reason=BAD_METADATA
            )
        return 200, dump_json(found, self._is_strict)
