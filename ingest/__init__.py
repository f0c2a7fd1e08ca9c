"""From a device's MQTT message to committed rows: codecs, bounded buffer, two front doors, store, device registry."""
