"""The gRPC face of the services: translates between the wire and the use cases, and decides nothing."""

import os

# Read once, when grpc is imported. Our only children are programs that we start, an embedded Redis; gRPC's handlers for
# fork would do nothing for them but write to standard error.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "false")
