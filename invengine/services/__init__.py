"""Use cases: gather from replica and store, decide with domain and kernels, write to the store. One module each."""
