"""Customers, their sites, contracts and the promises made to them."""
