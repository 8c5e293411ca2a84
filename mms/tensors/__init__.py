"""Tensors of requests and answers, whatever protocol brings them. Only what makes arrays imports numpy."""
