//! Recording containers as bytes out.
