"""Money: what an order cost, who bears it, who has paid."""
