"""Exporters without a vendor (console, file, memory, OTLP), and the registry that finds exporters by name."""
