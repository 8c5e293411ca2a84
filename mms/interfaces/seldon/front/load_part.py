"""What the front tells the worker of a component."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from mms.interfaces.seldon.front.deployed_unit import ID, IMAGE
from mms.interfaces.seldon.load import ComponentLoad
from mms.interfaces.seldon.registration import ComponentParameters
from mms.interfaces.seldon.settings import SeldonSettings

if TYPE_CHECKING:
    from mms.serving.served.pooled_model import PooledModel
    from mms.settings import Settings


def component_load(
    served: PooledModel, settings: Settings, environ: Mapping[str, str]
) -> ComponentLoad:
    """Return a component's part of a load. `environ` may name one that stands alone; graphs name theirs by call."""
    asked = served.options.asked.of(ComponentParameters).with_defaults(settings)
    return ComponentLoad(
        is_strict=settings.of(SeldonSettings).seldon_strict,
        joins_rows=bool(asked.row_batching),
        validates_inputs=bool(asked.validate_inputs),
        unit_id=environ.get(ID),
        unit_image=environ.get(IMAGE),
        persistence_file=asked.persistence_file,
    )
