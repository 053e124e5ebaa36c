//! The push service: providers, the ledger in the store, and the gRPC service.
