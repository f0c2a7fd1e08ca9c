"""Parts: where they are, what they are worth, for whom they are held."""
