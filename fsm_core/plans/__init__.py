"""From signal to order: episodes, suppression, condition-based orders; and maintenance plans."""
