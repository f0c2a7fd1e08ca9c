"""Service-level clocks: working calendars, due times, warnings."""
