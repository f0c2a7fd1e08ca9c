"""News for people: alarms, and an outbox of messages that is written with what it tells of and delivered later."""
