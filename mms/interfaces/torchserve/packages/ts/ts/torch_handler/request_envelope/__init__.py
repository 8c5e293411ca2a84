"""Envelopes: what stands around the inputs of a request and the results of an answer."""
