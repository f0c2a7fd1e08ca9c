"""Shared plumbing: settings, database, migrations, followers, clock, errors, logs. Knows nothing of the domain."""
