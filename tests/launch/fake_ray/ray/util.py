"""As Ray's module of that name."""

from __future__ import annotations


def get_node_ip_address() -> str:
    return "127.0.0.1"


def list_named_actors() -> list[str]:
    import ray

    return [*ray.actors()]
