"""The operations that take no message: `health-status` and `metadata`."""

from __future__ import annotations

from typing import Any

from mms.interfaces.seldon.codec.payload import Form, dump_json, encode_json, encode_proto_bytes
from mms.interfaces.seldon.components.calls import Surroundings
from mms.interfaces.seldon.components.hooks import OwnHooks
from mms.interfaces.seldon.components.raw_answers import json_answer, proto_answer
from mms.interfaces.seldon.components.results import Result, array_of_table, refuse_none
from mms.interfaces.seldon.errors import (
    BAD_METADATA,
    SeldonMicroserviceException,
    is_not_implemented,
)
from mms.interfaces.seldon.metadata import metadata_message, model_metadata
from mms.interfaces.seldon.unit import Unit

_HEALTHY = "healthy"
_ASSUMED = "not implemented - assuming healthy"


class HealthCall:
    """`health_status_raw`, which is answered with 200 whatever it says, else `health_status`."""

    operation = "health-status"

    def __init__(self, surroundings: Surroundings) -> None:
        self._hooks = surroundings.hooks
        self._additions = surroundings.additions
        self._class_names = surroundings.class_names
        self._is_strict = surroundings.is_strict
        self._raw = self._hooks.find("health_status_raw")
        self._hook = self._hooks.find("health_status")

    def __repr__(self) -> str:
        return f"<HealthCall {self._raw or self._hook}>"

    def answer_json(self, unit: Unit) -> tuple[int, bytes]:
        if self._raw is not None:
            try:
                returned = self._raw()
            except Exception as error:
                if not is_not_implemented(error):
                    raise
            else:
                return json_answer(returned, self.operation, None, unit, self._is_strict)
        data, meta = self._run(unit)
        message = encode_json(data, Form.NONE, self._class_names, meta)
        return 200, dump_json(message, self._is_strict)

    def answer_proto(self, unit: Unit) -> bytes:
        if self._raw is not None:
            try:
                returned = self._raw()
            except Exception as error:
                if not is_not_implemented(error):
                    raise
            else:
                hook = "health_status_raw"
                return proto_answer(returned, hook, None, self.operation, unit, self._is_strict)
        data, meta = self._run(unit)
        return encode_proto_bytes(data, Form.NONE, self._class_names, meta)

    def _run(self, unit: Unit) -> tuple[Any, dict[str, Any]]:
        data = self._status()
        refuse_none(data, "health_status", self._is_strict)
        result = Result(data, None, [], True)
        return data, self._additions.meta(self.operation, unit, None, result, None, None)

    def _status(self) -> Any:
        if self._hook is None:
            return _ASSUMED if self._hooks.has_base else _HEALTHY
        try:
            return array_of_table(self._hook())[0]
        except Exception as error:
            if is_not_implemented(error):
                return _ASSUMED
            raise


class MetadataCall:
    """`init_metadata` with the defaults of the unit's image, asked once."""

    def __init__(self, hooks: OwnHooks, is_strict: bool) -> None:
        """Raises whatever `init_metadata` raises, except that it is not implemented."""
        self._is_strict = is_strict
        self._own: Any = {}
        hook = hooks.find("init_metadata")
        if hook is not None:
            try:
                self._own = hook()
            except Exception as error:
                if not is_not_implemented(error):
                    raise
        self._by_image: dict[str | None, dict[str, Any] | None] = {}

    def __repr__(self) -> str:
        return f"<MetadataCall {self._own}>"

    def find(self, image: str | None) -> dict[str, Any] | None:
        """The metadata; None where they are invalid, which the log tells once for each image."""
        if image not in self._by_image:
            self._by_image[image] = model_metadata(self._own, image)
        return self._by_image[image]

    def answer_json(self, unit: Unit) -> tuple[int, bytes]:
        """Raises SeldonMicroserviceException (500) for invalid metadata."""
        found = self.find(unit.image)
        if found is None:
            raise SeldonMicroserviceException(
                "Model metadata unavailable", status_code=500, reason=BAD_METADATA
            )
        return 200, dump_json(found, self._is_strict)

    def answer_proto(self, unit: Unit) -> bytes:
        return bytes(metadata_message(self.find(unit.image)).SerializeToString())
