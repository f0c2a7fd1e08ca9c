"""Streaming detection on committed telemetry, and reliability statistics."""
