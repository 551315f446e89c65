"""`python -m invengine` is the command line."""

from invengine.cli import main

if __name__ == "__main__":
    main()
