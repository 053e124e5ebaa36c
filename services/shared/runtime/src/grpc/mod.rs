//! gRPC, served and called.
//!
//! Two ways in: a certificate signed by the installation's authority makes the caller the operator; a bearer token makes
//! it an application of one tenant. Without TLS a server listens on loopback only, where whoever is on the machine is the
//! operator.

pub mod caller;
mod client;
mod server;
pub mod status;
mod tls;

pub use client::channel;
pub use server::{BoundGrpc, GrpcConfig};
pub use tls::{INTERNAL_NAME, TlsConfig, TlsError, make_certificates};
