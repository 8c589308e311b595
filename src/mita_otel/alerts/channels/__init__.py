"""What carries a message to people: one file a way, each usable alone."""
