//! The SIP edge: sockets, the registrar, and one user agent per leg.
//!
//! ```text
//! phones ── UDP, TCP, TLS, WS, WSS ── transport ──> agent (one task, owns all protocol state) ──> owner link ── call control
//!                                       │  sip_core: Transactions, Leg, Authenticator
//!                                       └─> lookups in the directory, as short tasks whose results come back
//! ```
//!
//! The agent never waits: what takes time (the directory, the store, a connection's peer) happens in tasks of their
//! own and comes back as input. Between it and every one of them stands a bounded queue; what happens when one is full
//! is written where the queue is made, and counted.
//!
//! A leg's signals are numbered and kept until call control has acknowledged them; its commands are carried out once,
//! in their order ([`sidetone_model::signal`] has the contract). While call control cannot be reached, phones can still
//! register, hang up, cancel and refresh their sessions.
//!
//! Nothing personal is logged: legs, tenants and replicas appear by their ids only.
#![forbid(unsafe_code)]

mod agent;
mod bad_input;
mod bans;
mod config;
mod defence;
mod devices;
mod dialogs;
mod handover;
mod ladder;
mod log_limit;
mod owner;
mod reload;
mod remote;
mod replica;
mod server;
mod service;
mod stir;
mod subscriptions;
mod transport;
mod trunks;

pub use bans::BanDoor;
pub use config::{
    CertificateConfig, ClientAuth, Config, DefenceConfig, HepConfig, LadderConfig, ListenerConfig, TlsConfig,
    TransportKind,
};
pub use ladder::LadderDoor;
pub use remote::RemoteOwner;
pub use replica::{REPLICAS_PREFIX, ReplicaRegistration};
pub use server::{BoundListener, Deps, Signalling, StartError};
pub use service::SignallingService;
pub use stir::{StirConfig, StirKeyConfig};
pub use subscriptions::SubscriptionsConfig;
