"""The policy: the model, the defaults, loading and overlays."""
