//! The contracts between Sidetone's services, as protocol buffers.
