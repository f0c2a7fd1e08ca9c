"""The field-service core: from a signal to a settled work order."""
