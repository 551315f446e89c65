"""Where stock lives: the only package that knows Redis."""
