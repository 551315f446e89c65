"""Every kernel has its definition."""

from invengine import kernels
from tests.kernels import reference


def test_every_kernel_has_a_naive_twin() -> None:
    assert [name for name in kernels.__all__ if not callable(getattr(reference, name, None))] == []


def test_kernels_are_listed_in_order() -> None:
    assert kernels.__all__ == sorted(kernels.__all__)
