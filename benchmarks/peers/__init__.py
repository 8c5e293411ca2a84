"""The servers that are compared: one file each."""

from __future__ import annotations

from benchmarks.peers.bentoml import BentoML
from benchmarks.peers.litserve import LitServe
from benchmarks.peers.mlrun import MLRun
from benchmarks.peers.mlserver import MLServer
from benchmarks.peers.mosec import Mosec
from benchmarks.peers.multi_model_server import MultiModelServer
from benchmarks.peers.ours import Ours
from benchmarks.peers.peer import Peer
from benchmarks.peers.ray_serve import RayServe
from benchmarks.peers.seldon import Seldon
from benchmarks.peers.torchserve import TorchServe
from benchmarks.peers.triton import Triton

__all__ = ["Peer", "all_peers"]


def all_peers() -> dict[str, Peer]:
    """Return the peers by name, in the order of their turns."""
    peers: list[Peer] = [
        Ours(),
        MultiModelServer(),
        TorchServe(),
        Triton(),
        Mosec(),
        LitServe(),
        MLServer(),
        BentoML(),
        RayServe(),
        Seldon(),
        MLRun(),
    ]
    return {peer.name: peer for peer in peers}
