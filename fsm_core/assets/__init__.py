"""Devices as assets: where they stand, what covers them."""
