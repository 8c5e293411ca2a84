"""Models of tensors in their workers, and the codecs of the protocol."""
