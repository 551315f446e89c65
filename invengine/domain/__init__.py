"""The words of the field in pure Python: no numpy, no Redis, no clock."""
