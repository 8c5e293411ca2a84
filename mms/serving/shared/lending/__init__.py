"""Workers that this front lends to others."""
