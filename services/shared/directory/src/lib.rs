//! The directory: tenants, domains, users, devices, credentials, numbers and rooms as typed records in the store.
//!
//! [`Directory`] is a thin, typed view of a [`sidetone_store::Store`]: it holds no state of its own but a bounded,
//! watched cache. Signalling asks it who may register and call, call control where a number leads.
//!
//! What must be unique is unique by the key it is kept under: a domain in the installation, a number and a digest user
//! name in its tenant. The store has no transaction over several keys, so a reference is checked when it is made and
//! when its target is deleted; a deletion in the very moment in which somebody refers to its target can leave a number
//! or device that leads nowhere, which lookups treat as absent.
//!
//! Passwords and the secrets of tokens are never kept, shown or logged; only hashes of them are stored. The secrets of
//! applications are kept, because signatures cannot be made without, and never shown or logged.
#![forbid(unsafe_code)]

mod applications;
mod cache;
mod devices;
mod directory;
mod error;
mod forwards;
mod keys;
mod mailboxes;
mod numbers;
mod people;
mod record;
mod registrations;
mod secret;
mod seed;
mod seeding;
mod service;
mod tenants;
mod tokens;
mod trunks;

pub use applications::{SeedApplication, SeedKind};
pub use devices::{DeviceEvent, DeviceStream};
pub use directory::{Directory, Resolved};
pub use error::DirectoryError;
pub use forwards::{forward_of, forward_text, timed_forward_of};
pub use people::{SeedBusyLamp, SeedMediaEncryption, SeedMessageWaiting};
pub use registrations::{Registration, RegistrationEvent, RegistrationStream};
pub use secret::{Algorithm, Credential, Password};
pub use seed::{SeedConfig, SeedDevice, SeedNumber, SeedRoom, SeedTenant, SeedUser};
pub use seeding::{SeedError, Seeded};
pub use service::{DirectoryService, Prompts, WARNING, WebhookProblem};
pub use tenants::SeedRedirects;
pub use tokens::NewToken;
pub use trunks::{SeedRoute, SeedRule, SeedTrunk, apply as apply_number_rules};
