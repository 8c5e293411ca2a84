"""What a serving function is made of: its document and its code."""
