from tests.services.plain_waves import allocate

__all__ = ["allocate"]
