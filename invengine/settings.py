"""What an operator may set, from the environment: INVENGINE_<NAME>. Checked whole before anything starts."""

from __future__ import annotations

import difflib
import ipaddress
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from invengine.redis_url import RedisUrl

PREFIX = "INVENGINE_"
CLIENT_VARIABLES = frozenset(  # of the command line, not of the server
    {
        "INVENGINE_SERVER",
        "INVENGINE_CHANNEL",
        "INVENGINE_TOKEN",
        "INVENGINE_TOKEN_FILE",
        "INVENGINE_TLS",
        "INVENGINE_CA",
        "INVENGINE_CLIENT_CERTIFICATE",
        "INVENGINE_CLIENT_KEY",
    }
)
PARTITIONS = 64
PARTITIONS_OF_OWN_REDIS = 16
"""Only a Cluster spreads partitions over machines. One Redis has no use for many, and every call costs by the
partitions that it touches: with 16 a reservation of a batch takes about a third less of Redis than with 64.
"""
UNIX_SOCKET_BYTES = 103  # 104 with the ending zero on macOS, 108 on Linux


class SettingsInvalid(Exception):
    """One line per fault, each naming its variable; values are not repeated, since they may hold a password."""


def split_address(address: str) -> tuple[str, int]:
    """Host and port of a checked HOST:PORT; brackets around an IPv6 host are taken off."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def _checked_address(address: str) -> str:
    host, colon, port = address.rpartition(":")
    if not colon or not host or not (port.isascii() and port.isdigit()) or int(port) > 65535:
        raise ValueError("must be HOST:PORT, with a port of 0 to 65535 (0 takes any free one)")
    if ":" in host and not (host.startswith("[") and host.endswith("]")):
        raise ValueError("an IPv6 host stands in brackets: [::1]:50051")
    return address


def _checked_listen(address: str) -> str:
    if not address.startswith("unix:"):
        return _checked_address(address)
    path = address.removeprefix("unix:")
    if not path.startswith("/"):
        raise ValueError("unix:PATH needs an absolute path")
    if len(path.encode()) > UNIX_SOCKET_BYTES:
        raise ValueError(f"the path of a unix socket may have {UNIX_SOCKET_BYTES} bytes at most")
    return address


def _beyond_loopback(address: str) -> bool:
    if address.startswith("unix:"):
        return False
    host, _ = split_address(address)
    try:
        return not ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host != "localhost"


def _default_data_dir() -> Path:
    """A folder of this user: $XDG_DATA_HOME/invengine, else ~/.local/share/invengine."""
    shared = os.environ.get("XDG_DATA_HOME", "")
    try:
        return (Path(shared) if os.path.isabs(shared) else Path.home() / ".local" / "share") / "invengine"
    except RuntimeError as no_home:
        raise ValueError("no home folder is known for this user: set it") from no_home


Listen = Annotated[str, AfterValidator(_checked_listen)]
Hours = Annotated[int, Field(ge=1, le=24 * 366 * 10)]


class Settings(BaseSettings):
    """All settings of a server, with their defaults. Read them with `load`."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid", hide_input_in_errors=True)

    redis_url: str = Field("", repr=False, description="Redis or Valkey that keeps the stock; empty: start one")
    redis_server: Path | None = Field(None, description="Server program to start where redis_url is empty")
    data_dir: Path = Field(default_factory=_default_data_dir, description="Folder of the Redis that is started")
    durability: Literal["always", "everysec", "replicated"] = Field(
        "always",
        description="When a write is answered: on disk (always) or up to 1 s before (everysec), in the Redis that is "
        "started; or (replicated) once replicas of the Redis at redis_url have it",
    )
    replicas: int = Field(1, ge=1, le=100, description="Replicas that must have a write, where it is replicated")
    replica_seconds: float = Field(1.0, gt=0, le=60, description="How long one attempt waits for these replicas")
    partitions: int = Field(
        default_factory=lambda data: PARTITIONS if data.get("redis_url") else PARTITIONS_OF_OWN_REDIS,
        ge=1,
        le=1024,
        description="Partitions of a store that is made; an older one keeps its",
    )

    listen: Annotated[tuple[Listen, ...], NoDecode] = Field(
        ("127.0.0.1:50051",), description="HOST:PORT or unix:PATH of the gRPC API; several with commas"
    )
    workers: int = Field(1, ge=1, le=64, description="Processes that serve; each has a replica of its own")
    metrics_listen: str = Field("127.0.0.1:9464", description="HOST:PORT of /metrics; empty: none")
    listen_beyond_loopback: bool = Field(
        False, description="Allow addresses that other machines reach where what passes there is not encrypted"
    )
    tls_certificate: Path | None = Field(
        None, description="Certificate of the gRPC API (PEM, with what leads to its CA); read again when it changes"
    )
    tls_key: Path | None = Field(None, description="Its key (PEM)")
    tls_client_ca: Path | None = Field(
        None, description="Who vouches for clients (PEM): set, every client must bring a certificate (mTLS)"
    )
    authentication: bool | None = Field(
        None, description="Ask who calls (tokens); empty: where other machines reach the gRPC API"
    )
    reflection: bool | None = Field(
        None, description="Let gRPC tools ask which services there are; empty: where nobody is asked who calls"
    )
    grace_seconds: float = Field(10.0, ge=0, le=600, description="Time for accepted calls to end when stopping")
    message_bytes_max: int = Field(4 * 1024 * 1024, ge=64 * 1024, le=256 * 1024 * 1024, description="Largest request")
    queued_calls_max: int = Field(10_000, ge=1, description="Writes that wait for Redis before more are refused")
    watchers_max: int = Field(5_000, ge=0, le=1_000_000, description="Callers that may watch before more are refused")
    watch_tick_ms: int = Field(50, ge=1, le=10_000, description="How long changes are gathered for those who watch")
    watch_heartbeat_seconds: float = Field(
        5.0, gt=0, le=3600, description="How often one who watches is told that nothing has changed"
    )
    store_retry_seconds: float = Field(5.0, ge=0, le=300, description="How long a write is repeated when Redis is away")

    retention_hours: Hours = Field(
        168,
        description="How long requests, movements and closed reservations are remembered, at least; at most twice as "
        "long. Counts when the store is made",
    )
    count_window_hours: Hours = Field(168, description="How old a stock count may be when it arrives")
    log_entries_max: int = Field(
        10_000, ge=1000, le=10_000_000, description="Change log entries kept per partition (ledger, slow followers)"
    )

    demand_half_life_days: float = Field(
        28.0, gt=0, le=3650, description="Demand that is so old counts half in forecasts, which price scarce stock"
    )
    scarcity_horizon_days: float = Field(
        14.0, gt=0, le=730, description="Until when stock must last, for its price, where no receipt is expected"
    )
    scarcity_kilometre_cost: float = Field(
        0.004, ge=0, le=1000, description="What a kilometre costs a parcel, for that price, where no lanes say it"
    )

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="Least severe message logged")
    log_json: bool = Field(False, description="One JSON object per log line")
    access_log: bool = Field(False, description="A log line for every call, whatever the level")
    slow_call_ms: int = Field(
        1000, ge=1, le=3_600_000, description="From when on a call is slow, and logged; streams are not"
    )
    traces_endpoint: str = Field("", description="http(s):// address to which OTLP traces are sent; empty: nowhere")
    traces_ratio: float = Field(
        0.01, ge=0, le=1, description="Of calls whose callers trace nothing: so many are traced"
    )

    @classmethod
    def load(cls, **given: object) -> Settings:
        """The settings of the environment, those `given` going first. SettingsInvalid names every fault."""
        try:
            return cls(**given)  # type: ignore[arg-type]  # pydantic checks them
        except ValidationError as invalid:
            faults = [fault for fault in invalid.errors() if fault["type"] != "default_factory_not_called"]
            raise SettingsInvalid("\n".join(_sentence(fault["loc"], fault["msg"]) for fault in faults)) from None

    @classmethod
    def unknown_variables(cls, environment: Mapping[str, str]) -> list[str]:
        """A warning for each INVENGINE_ variable that sets nothing, with the name that was probably meant."""
        names = {name.upper() for name in cls.model_fields}
        warnings = []
        for variable in sorted(environment):
            name = variable.upper().removeprefix(PREFIX)
            if name == variable.upper() or name in names or variable.upper() in CLIENT_VARIABLES:
                continue
            near = difflib.get_close_matches(name, names, n=1)
            warnings.append(f"{variable} is not a setting" + (f"; is {PREFIX}{near[0]} meant?" if near else ""))
        return warnings

    @field_validator("listen", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",")) if isinstance(value, str) else value

    @field_validator("authentication", "reflection", "tls_certificate", "tls_key", "tls_client_ca", mode="before")
    @classmethod
    def _empty(cls, value: object) -> object:
        return None if value == "" else value

    @field_validator("log_level", mode="before")
    @classmethod
    def _upper(cls, value: object) -> object:
        return value.upper() if isinstance(value, str) else value

    @field_validator("redis_url")
    @classmethod
    def _check_url(cls, url: str) -> str:
        if url:
            RedisUrl.parse(url)
        return url

    @field_validator("metrics_listen")
    @classmethod
    def _check_metrics(cls, address: str) -> str:
        return _checked_address(address) if address else address

    @field_validator("traces_endpoint")
    @classmethod
    def _check_traces(cls, endpoint: str) -> str:
        if endpoint and not endpoint.startswith(("http://", "https://")):
            raise ValueError("must be an address of OTLP over HTTP, such as http://127.0.0.1:4318/v1/traces")
        return endpoint

    @model_validator(mode="after")
    def _check_durability(self) -> Settings:
        if self.durability == "replicated" and not self.redis_url:
            raise ValueError(
                f"{PREFIX}DURABILITY is replicated, but the Redis that the engine starts has no replicas: "
                f"set {PREFIX}REDIS_URL, or the durability to always"
            )
        return self

    @property
    def asks_who_calls(self) -> bool:
        """Whether calls need a token."""
        if self.authentication is None:
            return any(map(_beyond_loopback, self.listen))
        return self.authentication

    @property
    def reflects(self) -> bool:
        """Whether the server tells which services there are."""
        return not self.asks_who_calls if self.reflection is None else self.reflection

    @model_validator(mode="after")
    def _check_tls(self) -> Settings:
        if bool(self.tls_certificate) != bool(self.tls_key):
            raise ValueError(f"{PREFIX}TLS_CERTIFICATE and {PREFIX}TLS_KEY go together: set both or neither")
        if self.tls_client_ca and not self.tls_certificate:
            raise ValueError(f"{PREFIX}TLS_CLIENT_CA needs {PREFIX}TLS_CERTIFICATE and {PREFIX}TLS_KEY")
        return self

    @model_validator(mode="after")
    def _check_workers(self) -> Settings:
        if self.workers == 1:
            return self
        if sys.platform != "linux":
            raise ValueError(f"{PREFIX}WORKERS is {self.workers}: only Linux spreads connections over processes")
        for address in self.listen:
            if address.startswith("unix:"):
                raise ValueError(
                    f"{PREFIX}WORKERS is {self.workers}, but {address} can be served by one process only: listen on a "
                    "HOST:PORT instead, 127.0.0.1 for callers of this machine, or have one worker"
                )
        return self

    @model_validator(mode="after")
    def _check_reach(self) -> Settings:
        if self.listen_beyond_loopback:
            return self
        for address in self.listen:
            if _beyond_loopback(address) and not self.tls_certificate:
                raise ValueError(
                    f"{address} can be reached from other machines and is not encrypted: set {PREFIX}TLS_CERTIFICATE "
                    f"and {PREFIX}TLS_KEY, or {PREFIX}LISTEN_BEYOND_LOOPBACK=true if that is meant"
                )
        if self.metrics_listen and _beyond_loopback(self.metrics_listen):
            raise ValueError(
                f"{self.metrics_listen} can be reached from other machines and is not encrypted: "
                f"set {PREFIX}LISTEN_BEYOND_LOOPBACK=true if that is meant"
            )
        return self


def _sentence(place: tuple[int | str, ...], problem: str) -> str:
    """One fault as a line: the variable, then what is wrong with it."""
    problem = problem.removeprefix("Value error, ")
    return f"{PREFIX}{str(place[0]).upper()}: {problem}" if place else problem
