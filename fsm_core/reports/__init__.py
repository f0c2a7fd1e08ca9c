"""Service reports: what the customer signs for."""
