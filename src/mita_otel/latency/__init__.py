"""Pure functions from the facts of a span to a verdict: within its limit, or not, and by which rule."""
