"""Streaming scorers for a single metric and for a rig of sensors: one reading at a time, never a look ahead. Pure."""
