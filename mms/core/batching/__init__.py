"""The policies by which batches form. Everything that names them is made of this table; it imports nothing of the core.

To add one, write its class in a file of its own, and name it here.
"""

from __future__ import annotations

from typing import Final

from mms.core.batching.adaptive import AdaptivePolicy
from mms.core.batching.fixed import FixedPolicy
from mms.core.batching.policy import BATCHING_PARAMETERS, BatchingPolicy

#: Name -> policy. A model version makes an object of it.
POLICIES: Final[dict[str, type[BatchingPolicy]]] = {
    policy.name: policy for policy in (AdaptivePolicy, FixedPolicy)
}
#: What each does, for help texts and descriptions.
POLICIES_HELP: Final = "; ".join(f"{name}: {policy.help}" for name, policy in POLICIES.items())

__all__ = [
    "BATCHING_PARAMETERS",
    "POLICIES",
    "POLICIES_HELP",
    "AdaptivePolicy",
    "BatchingPolicy",
    "FixedPolicy",
]
