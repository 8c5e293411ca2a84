"""Stubs, servicers and their registration for each service, made from the descriptors; needs grpcio."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc

from mms.interfaces.seldon.codec.messages import PACKAGE, SERVICES, Method


def _stub_class(service: str, methods: dict[str, Method]) -> type:
    """`Stub(channel)`, with a callable for each method."""

    def __init__(self: Any, channel: Any) -> None:
        for method in methods.values():
            call = channel.unary_unary(
                f"/{service}/{method.name}",
                request_serializer=method.request_class.SerializeToString,
                response_deserializer=method.response_class.FromString,
            )
            setattr(self, method.name, call)

    return type(f"{_short(service)}Stub", (), {"__init__": __init__})


def _servicer_class(service: str, methods: dict[str, Method]) -> type:
    """A class whose methods answer UNIMPLEMENTED, for others to inherit."""

    def unimplemented(self: Any, request: Any, context: Any) -> Any:
        context.set_code(grpc.StatusCode.UNIMPLEMENTED)
        context.set_details("Method not implemented!")
        raise NotImplementedError("Method not implemented!")

    return type(f"{_short(service)}Servicer", (), dict.fromkeys(methods, unimplemented))


def _registration(service: str, methods: dict[str, Method]) -> Callable[[Any, Any], None]:
    def add_to_server(servicer: Any, server: Any) -> None:
        handlers = {
            method.name: grpc.unary_unary_rpc_method_handler(
                getattr(servicer, method.name),
                request_deserializer=method.request_class.FromString,
                response_serializer=method.response_class.SerializeToString,
            )
            for method in methods.values()
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))

    return add_to_server


def _static_class(service: str, methods: dict[str, Method]) -> type:
    """The class of grpc's experimental calls without a channel, each of which says what to use instead."""

    def refuse(*arguments: Any, **keywords: Any) -> Any:
        raise NotImplementedError(f"use {_short(service)}Stub(channel)")

    return type(_short(service), (), dict.fromkeys(methods, staticmethod(refuse)))


def _short(service: str) -> str:
    return service.removeprefix(f"{PACKAGE}.")


for _service, _methods in SERVICES.items():
    globals()[f"{_short(_service)}Stub"] = _stub_class(_service, _methods)
    globals()[f"{_short(_service)}Servicer"] = _servicer_class(_service, _methods)
    globals()[f"add_{_short(_service)}Servicer_to_server"] = _registration(_service, _methods)
    globals()[_short(_service)] = _static_class(_service, _methods)
