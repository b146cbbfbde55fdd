"""``python -m keeper`` is the ``keeper`` command."""

from keeper.cli import main

if __name__ == "__main__":
    main()
