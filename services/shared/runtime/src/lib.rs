//! What every Sidetone process is made of: configuration, life cycle, admin port, and gRPC over mutual TLS.
//!
//! - [`config`] reads one TOML file and reports every mistake in it at once, each with its key.
//! - [`lifecycle`] says when to refuse new work and when to stop, and who is ready.
//! - [`admin`] is the HTTP port for metrics, readiness, liveness and drain.
//! - [`egress`] keeps requests that tenants cause away from our own network.
//! - [`grpc`] serves and calls, closed by default: plaintext exists on loopback only.
//! - [`link`] holds the traits by which services reach one another, in one process or over the network.
#![forbid(unsafe_code)]

pub mod admin;
pub mod config;
pub mod egress;
pub mod grpc;
pub mod lifecycle;
pub mod link;

pub use grpc::caller::Caller;
pub use grpc::status::status;
pub use lifecycle::Lifecycle;
