"""The command line and the wiring: every process, the embedded database, the doctor."""
