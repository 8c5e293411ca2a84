"""Seldon's messages in JSON and protobuf, read and written."""
