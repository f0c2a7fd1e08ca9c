"""`python -m meantime` is the `meantime` command."""

from meantime.cli import main

if __name__ == "__main__":
    main()
