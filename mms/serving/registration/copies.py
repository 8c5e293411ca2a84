"""A copy of a registered model: the same code and files under another name, to try other numbers on."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from mms.core import Registry
from mms.errors import BadRequest
from mms.registration.parameter import SCALE
from mms.serving.options import RegisterOptions
from mms.serving.served import PooledModel, ServedModel

#: What a copy may say of itself, besides what a running model may change.
_OWN: Final = ("copy_of", "model_name", "initial_workers", "max_worker", "synchronous")


async def copied(options: RegisterOptions, registry: Registry[ServedModel]) -> RegisterOptions:
    """Return the registration of a copy: the other model's, with what this one says in its place.

    A copy writes no records, as its requests are none of the model's. It may change neither code nor files: who may
    register is not always who may say what runs. Raises BadRequest, ModelNotFound.
    """
    name = options.copy_of or ""
    original = await registry.get(name, None).woken()
    if not isinstance(original, PooledModel):
        raise BadRequest(
            f"{original.name} cannot be copied: it asks other models and has no workers."
        )
    if not options.model_name:
        raise BadRequest("Parameter model_name is required beside copy_of.")
    given = {}
    blank = RegisterOptions()
    for member, declared in options.all_parameters():
        value = options.value_of(member)
        if value == blank.value_of(member):
            continue
        if declared.name not in _OWN and SCALE not in declared.routes:
            raise BadRequest(
                f"Parameter {declared.name} is refused beside copy_of: a copy has the other model's code and files."
            )
        given[member] = value
    own = {member: given.pop(member, None) for member in ("initial_workers", "max_worker")}
    return replace(original.options.asked.with_values(**given), tracking="off", **own)
