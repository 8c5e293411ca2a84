"""`mms cluster`: several fronts on a cluster of Ray."""
