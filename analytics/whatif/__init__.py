"""What-if: a stored period under other rules, as a job that survives a restart."""
