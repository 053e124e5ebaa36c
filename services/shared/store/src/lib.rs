//! The store: keys with revisions, expiry and watch beside append-only streams with cursors.
