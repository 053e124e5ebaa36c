//! A media node: addresses, ports, G.711, bridges, conferences, prompts and recordings.
//!
//! # Two planes
//! [`MediaNode`] starts pinned worker threads, each of which owns sockets, legs and mixes and ticks every 20 ms. On those
//! threads nothing locks, allocates, logs or awaits. The control plane is asynchronous and never touches sound: commands
//! enter a worker, and events, retired objects and frames for the recorder leave it, through bounded rings.
//!
//! # What it does not do
//! It knows no dialogs and no calls: call control tells it what to connect. Handshakes by DTLS and checks of ICE are led
//! by a task of their own; a leg's worker only hands their packets over.
#![forbid(unsafe_code)]

mod adaptation;
mod admission;
mod config;
mod descriptors;
mod engine;
mod error;
mod handshake;
mod keys;
mod moving;
mod negotiate;
mod node;
mod policy;
mod ports;
mod prompts;
mod proof;
mod quality;
mod recorder;
mod reporting;
mod service;
mod state;
mod storage;
mod worker;

pub use config::{Config, Fetch, Ice, InbandDigits, Realm, Secret, Srtp, Storage};
pub use error::MediaError;
pub use negotiate::{Agreement, Payload, PayloadTypes};
pub use node::{Deps, MediaNode, StartError};
pub use policy::{Checked, Lock, Mode, Policy};
pub use recorder::{FolderError, RecordingRate};
pub use reporting::RtcpXr;
pub use service::MediaServer;
pub use state::{Audio, Incoming, LEG_STATE_VERSION, LegState, Role, Tap};
