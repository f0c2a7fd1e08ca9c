"""Service levels: working time, due times, the clocks of an order, and the warnings that fire on the way."""
