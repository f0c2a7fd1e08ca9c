"""Simulated machines, fleets and field staff; replay of recorded data."""
