"""Whether the signal that led to a repair came back to normal after it."""
