"""Items of a batch that came by a protocol of tensors."""
