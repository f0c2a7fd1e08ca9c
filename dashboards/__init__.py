"""Grafana dashboards as code, and the reports schema."""
