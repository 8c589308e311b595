"""The ways out that need no vendor: console, file, memory; and the table that finds exporters by name."""
