"""Requests that people make: one inbox for all channels."""
