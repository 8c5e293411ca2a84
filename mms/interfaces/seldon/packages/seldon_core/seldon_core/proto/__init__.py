"""The protobuf messages and the gRPC services."""
