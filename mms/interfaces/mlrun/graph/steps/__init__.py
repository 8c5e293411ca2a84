"""The steps of graphs: what each kind holds, and how it answers an event."""
