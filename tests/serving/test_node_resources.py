"""What Ray is asked for, for the worker of a model."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from mms.serving.options import RegisterOptions
from mms.serving.registration.model_factory import _resources

_GROUP = {"torchrun": {"nproc-per-node": 4}}


@pytest.mark.parametrize(
    ("interface", "config", "asked", "resources"),
    [
        ("torchserve", _GROUP, None, {"num_cpus": 4}),
        ("torchserve", _GROUP, {"num_gpus": 4}, {"num_gpus": 4, "num_cpus": 4}),
        ("torchserve", _GROUP, {"num_cpus": 2}, {"num_cpus": 2}),
        ("torchserve", {}, None, {"num_cpus": 1}),
        # The load of such a group says what is wrong.
        ("torchserve", {"torchrun": {"nnodes": 2}}, None, {"num_cpus": 1}),
        ("mms", _GROUP, {"num_gpus": 1}, {"num_gpus": 1}),
        ("auto", _GROUP, None, {}),
    ],
)
def test_a_node_has_a_cpu_for_each_process_of_a_group_unless_more_is_said(
    interface: str, config: dict[str, Any], asked: Any, resources: dict[str, Any]
) -> None:
    effective = RegisterOptions(launcher="ray", ray_resources=asked)
    served: Any = SimpleNamespace(interface=interface, effective=effective, model_config=config)
    assert _resources(served) == resources
