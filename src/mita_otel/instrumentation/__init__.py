"""What makes a library emit spans, one file a library; where a library does it itself, what tunes it."""
