"""Work orders and visits: their state machines, guards, event log."""
