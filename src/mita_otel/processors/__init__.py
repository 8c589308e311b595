"""OpenTelemetry span and log processors, one a file, each usable alone.

`link.Link` is the one idea: take the next processor, do one thing to a finished span, pass it on.
"""
