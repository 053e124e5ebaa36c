//! The directory: tenants, domains, users, devices, credentials, numbers and rooms as typed records in the store.
