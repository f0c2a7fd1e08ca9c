"""`python -m meantime` is the `meantime` command."""

from meantime.cli import app

if __name__ == "__main__":
    app(prog_name="meantime")
