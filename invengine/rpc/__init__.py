"""The gRPC face of the services: translates between the wire and the use cases, and decides nothing."""
