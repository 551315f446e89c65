"""Several processes that serve one address, and the one that starts them, restarts them and answers for them all.

    supervisor   holds the address, the embedded Redis, the metrics port and the signals; loads no numba and no gRPC
    worker       an engine as any other, in an interpreter of its own; listens beside the others (SO_REUSEPORT)

Each worker has a link to the supervisor, a pair of sockets that nobody else can reach. It ends with the supervisor,
however that ends.
"""
