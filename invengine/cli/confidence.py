"""How sure a promised date is to be, as people write it."""

from __future__ import annotations

from invengine.cli.output import fail_usage


def share_of(text: str) -> float:
    """A confidence as `95%` or `0.95`."""
    number = text.removesuffix("%")
    try:
        share = float(number) / (100 if text.endswith("%") else 1)
    except ValueError:
        fail_usage(f"--confidence: {text!r} is not a share such as 95% or 0.95")
    if not 0 < share < 1:
        fail_usage(f"--confidence: {text!r} is not between 0% and 100%")
    return share
