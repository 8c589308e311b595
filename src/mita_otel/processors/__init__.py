"""OpenTelemetry processors. Each can be used alone; `pipeline.Pipeline` combines them.

A span processor is a `link.Link`: it does one thing to a finished span and passes it to the next processor.
"""
