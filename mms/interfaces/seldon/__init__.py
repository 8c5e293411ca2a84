"""The protocol of Seldon Core v1 and what its components may be: payloads, messages, errors, metadata."""
