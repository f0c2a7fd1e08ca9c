"""Recorded data played through the product: published over MQTT like live data, with its own time stamps."""
