"""HTTP: the REST API and the web console."""
