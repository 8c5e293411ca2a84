"""Empty: the original server imports this for legacy models, which do not use it."""
