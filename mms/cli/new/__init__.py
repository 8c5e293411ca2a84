"""`mms new`: models to begin with."""
