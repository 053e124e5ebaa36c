//! The directory: tenants, domains, users, devices, credentials, numbers and rooms as typed records in the store.
//!
//! [`Directory`] is a thin, typed view of a [`sidetone_store::Store`]: it holds no state of its own but a bounded,
//! watched cache. Signalling asks it who may register and call, call control where a number leads.
#![forbid(unsafe_code)]
