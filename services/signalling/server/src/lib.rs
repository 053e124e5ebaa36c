//! The SIP edge: sockets, the registrar, and one user agent per leg.
