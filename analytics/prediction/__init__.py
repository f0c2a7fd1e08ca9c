"""Failure prediction per component and remaining useful life, learned from stored history."""
