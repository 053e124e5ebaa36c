//! What every Sidetone process is made of: configuration, start, drain, health, the admin port and gRPC over mutual TLS.
