"""Opening archives safely: their containers, the names in them, limits, unpacking."""
