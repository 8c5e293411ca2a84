"""Workers on other nodes, which Ray finds for them."""

from __future__ import annotations

from dataclasses import dataclass

from mms.settings.option import (
    HOST_AND_PORT,
    NUMBER,
    POSITIVE_NUMBER,
    RAY_ADDRESS,
    READ_FILE,
    choice,
    option,
)

_NODES = "Workers on other nodes"


@dataclass
class NodeOptions:
    """Workers on other nodes."""

    launcher: str = option(
        choice("process", "ray"),
        _NODES,
        "What starts workers. process: the server, beside itself. ray: Ray, on a node of its cluster that has room; "
        "see [a cluster](cluster.md). A registration may say otherwise.",
        "process",
        is_own=True,
    )
    ray_address: str = option(
        RAY_ADDRESS,
        _NODES,
        "Which cluster. auto: the one that this machine is a node of, or `RAY_ADDRESS`. HOST:PORT: of its head node; "
        "this machine has to be a node, too. local: one that the server starts on this machine for itself.",
        "auto",
        is_own=True,
    )
    ray_strategy: str = option(
        choice("pack", "spread"),
        _NODES,
        "Which of the nodes that have room Ray takes. pack: few of them, as far as none is more than half full. "
        "spread: all of them in turn.",
        "pack",
        is_own=True,
    )
    ray_wait_s: float = option(
        NUMBER,
        _NODES,
        "How long a worker waits for a node, which an autoscaler may bring, until its start has failed; then it waits "
        "anew. 0: as long as it takes.",
        "600",
        unit="seconds",
        is_own=True,
    )
    worker_address: tuple[str, int] | None = option(
        HOST_AND_PORT,
        _NODES,
        "Where workers of other machines dial in, always by mutual TLS. Those of this machine use a Unix socket, "
        "unless the address is one of loopback. Without it: a free port of this node's address in the cluster.",
        is_own=True,
    )
    worker_ca_certificate: str = option(
        READ_FILE,
        _NODES,
        "The authority, a PEM file, that signs the certificates of the server and its workers, together with "
        "`worker_ca_key`. Without it: one that is made at each start and is nowhere but in the server's memory.",
        "",
        is_own=True,
    )
    worker_ca_key: str = option(
        READ_FILE, _NODES, "The key of `worker_ca_certificate`, a PEM file.", "", is_own=True
    )
    node_timeout_s: float = option(
        POSITIVE_NUMBER,
        _NODES,
        "A node that answers nothing for so long, not even by its kernel, is given up: its requests go to other "
        "workers. At least a second.",
        "3",
        unit="seconds",
        is_own=True,
    )
