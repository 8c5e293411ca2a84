"""Open Inference in the front."""
