"""The `mita-otel` command, one file a command."""
