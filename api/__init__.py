"""The REST API, the event stream and the web console: the edge where requests become transactions."""
