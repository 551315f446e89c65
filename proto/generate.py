"""Generates invengine/v1 from proto/invengine/v1: messages, stubs for mypy, gRPC code. `make proto` runs it.

Without an argument the reference in docs/api is written as well.
"""

from __future__ import annotations

import sys
from pathlib import Path

import reference  # beside this script
from grpc_tools import protoc

PROTO = Path(__file__).resolve().parent
INIT = '"""Generated from proto/invengine/v1 by proto/generate.py; never edited."""\n'


def generate(out: Path) -> None:
    """Write the package invengine/v1 below `out`."""
    import grpc_tools

    target = out / "invengine" / "v1"
    target.mkdir(parents=True, exist_ok=True)
    (target / "__init__.py").write_text(INIT, encoding="utf-8")
    well_known = Path(grpc_tools.__file__).parent / "_proto"
    files = sorted(str(path.relative_to(PROTO)) for path in PROTO.glob("invengine/v1/*.proto"))
    bin_folder = Path(sys.executable).parent
    arguments = [
        "protoc",
        f"-I{PROTO}",
        f"-I{well_known}",
        f"--plugin=protoc-gen-mypy={bin_folder / 'protoc-gen-mypy'}",
        f"--plugin=protoc-gen-mypy_grpc={bin_folder / 'protoc-gen-mypy_grpc'}",
        f"--python_out={out}",
        f"--grpc_python_out={out}",
        f"--mypy_out={out}",
        f"--mypy_grpc_out={out}",
        *files,
    ]
    if protoc.main(arguments):
        raise SystemExit("protoc failed")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        generate(Path(sys.argv[1]))
    else:
        generate(PROTO.parent)
        reference.write(reference.OUT)
