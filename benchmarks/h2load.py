"""Requests a second of one gRPC method, by nghttp2's h2load: a client that costs a fraction of a Python one."""

from __future__ import annotations

import re
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Sequence

AVAILABLE = shutil.which("h2load") is not None
MISSING = "h2load (Debian package nghttp2-client) is not installed: skipped"


class LoadFailedError(RuntimeError):
    """h2load reported failed requests or answers of an unexpected size."""


def requests_per_second(
    address: str,
    method: str,
    request: bytes,
    response_bytes_least: int,
    *,
    count: int = 9_000,
    clients: int = 8,
    streams: int = 8,
) -> float:
    """Call unary `method` (`/package.Service/Method`) at HOST:PORT `count` times; calls answered a second.

    Every answer must carry at least `response_bytes_least` bytes of message: a gRPC error has no message, and h2load
    itself takes it for a success.
    """
    return _load(address, method, [request], [response_bytes_least], count, clients, streams)


def messages_per_second(
    address: str,
    method: str,
    requests: Sequence[bytes],
    response_bytes_least: Sequence[int],
    *,
    count: int = 192,
    clients: int = 8,
    streams: int = 8,
) -> float:
    """Open `count` streams of `method`, each sending all of `requests`; messages answered a second."""
    return len(requests) * _load(address, method, requests, response_bytes_least, count, clients, streams)


def _load(
    address: str, method: str, requests: Sequence[bytes], least: Sequence[int], count: int, clients: int, streams: int
) -> float:
    with tempfile.NamedTemporaryFile() as body:
        for request in requests:
            body.write(struct.pack(">BI", 0, len(request)) + request)
        body.flush()
        command = ["h2load", f"-n{count}", f"-c{clients}", f"-m{streams}", f"-d{body.name}"]
        command += ["-H", "content-type: application/grpc", "-H", "te: trailers", f"http://{address}{method}"]
        out = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    rate = re.search(r"finished in [^,]+, ([0-9.]+) req/s", out)
    done = re.search(r"(\d+) succeeded, (\d+) failed", out)
    data = re.search(r"traffic:.*\((\d+)\) data", out)
    if not (rate and done and data) or done[2] != "0" or int(done[1]) != count:
        raise LoadFailedError(out)
    expected = count * sum(5 + size for size in least)
    if int(data[1]) < expected:
        raise LoadFailedError(f"{data[1]} bytes of answers, not {expected} or more:\n{out}")
    return float(rate[1])
