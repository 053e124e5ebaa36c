//! The media node: pinned workers, ports, prompts, recordings and the gRPC service.
