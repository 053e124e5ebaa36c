//! The conference graph and its tick: no lock and no allocation after set-up.
