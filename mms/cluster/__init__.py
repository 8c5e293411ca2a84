"""Several fronts on a cluster of Ray that serve the same models: the owner of what is registered, and its fronts."""
