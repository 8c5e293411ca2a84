"""Workers that Ray finds a node for."""
