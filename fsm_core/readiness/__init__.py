"""May an order be dispatched: is there a skill, the parts, a person with time; what blocks it and until when."""
