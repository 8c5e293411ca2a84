"""Workers on other nodes: what runs them there, and how they reach the front."""
