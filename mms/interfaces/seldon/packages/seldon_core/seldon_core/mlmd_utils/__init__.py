"""Nothing, as in Seldon's package."""
