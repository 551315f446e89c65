"""Whether anything was written: what Redis itself counts, and all that it holds."""

from __future__ import annotations

import redis


class Contents:
    """A Redis of a test, looked at from outside."""

    def __init__(self, url: str) -> None:
        self._client = redis.Redis.from_url(url, protocol=3)

    def __enter__(self) -> Contents:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def changes(self) -> int:
        """How many changes were made since the server began; it saves no snapshots, so the count only grows."""
        return int(self._client.info("persistence")["rdb_changes_since_last_save"])

    def everything(self) -> dict[bytes, bytes]:
        """Every key with its value as Redis would store it."""
        keys = sorted(self._client.scan_iter(count=1000))
        pipeline = self._client.pipeline(transaction=False)
        for key in keys:
            pipeline.dump(key)
        return dict(zip(keys, pipeline.execute(), strict=True))

    def fields(self, key: bytes) -> dict[bytes, bytes]:
        """The fields of a hash."""
        return self._client.hgetall(key)
