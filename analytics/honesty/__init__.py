"""How far alarms can be trusted, from what the engineers found: per rule and model, and what might be set better."""
