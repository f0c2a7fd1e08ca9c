"""Tests of the REST API: a real server on a real database."""
