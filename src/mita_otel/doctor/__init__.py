"""What is wrong with an environment, and the mend: looked at before a service runs in it."""
