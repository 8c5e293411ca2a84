"""Which calls the service has, and who may make them."""

from __future__ import annotations

from support.played_host import PlayedHost
from support.settings import settings_of

from mms.interfaces.oip.front.grpc import OipServices
from mms.interfaces.oip.front.messages import POOL, SERVICE
from mms.security import Role
from mms.settings import Address


async def test_every_method_of_the_service_is_there_with_the_roles_that_it_needs() -> None:
    settings = settings_of()
    settings.grpc_address = Address("grpc", "127.0.0.1", 0, "")
    services = OipServices.of(settings, PlayedHost())  # type: ignore[arg-type]  # what it needs of a host
    prefix = f"/{SERVICE}/"
    found = {method.path.decode().removeprefix(prefix): method for method in services.methods()}
    assert set(found) == {method.name for method in POOL.FindServiceByName(SERVICE).methods}
    for name, method in found.items():
        wanted: tuple[Role, ...] = (Role.INFERENCE,)
        if name in ("ServerLive", "ServerReady"):
            wanted = ()
        elif name == "ModelReady":
            wanted = tuple(Role)
        elif name in ("RepositoryModelLoad", "RepositoryModelUnload"):
            wanted = (Role.MANAGEMENT,)
        elif name == "RepositoryIndex":
            wanted = (Role.INFERENCE, Role.MANAGEMENT)
        assert method.roles == wanted, name
