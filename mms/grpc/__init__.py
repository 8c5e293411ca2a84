"""The gRPC front: HTTP/2 and gRPC on the event loop of the server, and the services of interfaces."""

from mms.grpc.front import GrpcFront
from mms.grpc.services import places

__all__ = ["GrpcFront", "places"]
