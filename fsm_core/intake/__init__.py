"""Requests from people: desk, telephone, website, WeChat; each becomes an order once."""
