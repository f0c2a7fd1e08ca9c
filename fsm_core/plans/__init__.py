"""From a signal to a work order: episodes, suppression, repeat repairs."""
