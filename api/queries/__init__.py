"""Reads for the interface, in SQL; nothing here writes."""
