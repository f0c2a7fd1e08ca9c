"""Work orders and visits: the promise and the trips made to keep it."""
