"""`mms serve`: what a path holds, served at once."""
