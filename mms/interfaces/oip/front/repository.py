"""The model repository: what clients list, load and unload by name, over REST and gRPC."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from mms.errors import BadRequest, Forbidden, WorkerStartFailed
from mms.interfaces.oip.front.load_config import read_load_config
from mms.security import is_loopback
from mms.serving.options import Outcome
from mms.serving.stored import ModelState
from mms.text.brief import brief

if TYPE_CHECKING:
    from archiver.model_config import ConfigKeys
    from mms.serving import ModelHost
    from mms.settings import Address

logger = logging.getLogger("mms.serving")

_READY: Final = "READY"
_CONFIG: Final = "config"
_FILES: Final = "file:"
_DEPENDENTS: Final = "unload_dependents"


class ModelRepository:
    """The operations of one listener's clients. Errors are those of `mms.errors`."""

    def __init__(self, host: ModelHost, address: Address, *, is_on: bool | None) -> None:
        """`address`: of the listener. `is_on`: None where that says it: only this machine reaches it."""
        self._host = host
        self._is_set = is_on
        self._address = address
        is_local = is_loopback(address)
        self.is_on = is_local if is_on is None else is_on
        if self.is_on and not is_local:
            logger.warning(
                "oip_repository=true: whoever can connect to %s can load and unload models of the model store, unless "
                "keys_file asks for a key with the role management.",
                address,
            )

    def __repr__(self) -> str:
        return f"<ModelRepository, {'on' if self.is_on else 'off'}>"

    async def index(self, *, is_ready: bool = False) -> list[ModelState]:
        """Return every version of every model, or only those that serve. Raises Forbidden."""
        self.check_on()
        rows = await self._host.stored.index()
        return [row for row in rows if not is_ready or row.state == _READY]

    async def load(self, name: str, parameters: Mapping[str, Any]) -> Outcome:
        """Load all versions of a model in the store, and wait for them; what serves goes on until then.

        Raises Forbidden, BadRequest, ModelNotFound, and why a model cannot be loaded.
        """
        self.check_on()
        config: ConfigKeys | None = None
        for key, value in parameters.items():
            if key.startswith(_FILES):
                raise BadRequest(
                    f"The parameter {brief(key)} is refused: clients may load what lies in the model store, and bring "
                    "no files."
                )
            if key != _CONFIG:
                raise BadRequest(f"A load has no parameter {brief(key)}; there is {_CONFIG}.")
            config = read_load_config(value, name)
        try:
            await self._host.stored.load(name, config)
        except WorkerStartFailed as error:
            # Nothing else tells this client why.
            error.is_model_gone = True
            if error.reason and error.reason not in (error.message or ""):
                error.message = f"Model {name} could not be loaded: {error.reason}"
            raise
        return Outcome(200, None, f'Model "{name}" loaded')

    async def unload(self, name: str, parameters: Mapping[str, Any]) -> Outcome:
        """Unregister all versions of a model once what they had accepted is answered.

        Raises Forbidden, BadRequest, ModelNotFound, and Conflict where others depend on it.
        """
        self.check_on()
        for key, value in parameters.items():
            if key != _DEPENDENTS:
                raise BadRequest(
                    f"An unload has no parameter {brief(key)}; there is {_DEPENDENTS}."
                )
            if value is not False:
                raise BadRequest(
                    f"The parameter {_DEPENDENTS} is {brief(value)}; only false is right: what a graph asks stays."
                )
        await self._host.stored.unload(name)
        return Outcome(200, None, f'Model "{name}" unloaded')

    def check_on(self) -> None:
        """Raises Forbidden."""
        if self.is_on:
            return
        why = (
            "the setting oip_repository is false"
            if self._is_set is False
            else f"other machines reach {self._address}; oip_repository=true allows it all the same"
        )
        raise Forbidden(f"Clients may not list, load and unload models here: {why}.")
