"""The demo: a seeded world, its history, and the live run."""
