"""The edge: gRPC in, one verb of the runtime or the store, gRPC out."""
