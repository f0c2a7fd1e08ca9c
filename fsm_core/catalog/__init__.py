"""How each failure mode is repaired: solutions, standard hours, expected parts, repair codes."""
