"""Records of the requests to a model, and how far they lie from what it was trained on."""
