"""Whether what the policy names can be reached: a marked event of each kind, really sent."""
