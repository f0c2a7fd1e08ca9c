"""One module per benchmark; each prints JSON lines. Run with `python -m benchmarks.<name>`."""
