"""The command line of invengine. `main` is the entry point; nothing heavy is imported before a command needs it."""

__all__ = ["main"]


def main() -> None:
    """Run the command that the arguments name."""
    from invengine.cli.app import app

    app()
