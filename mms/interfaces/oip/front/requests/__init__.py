"""What the front reads of requests before their workers do: whom they ask, and until when."""
