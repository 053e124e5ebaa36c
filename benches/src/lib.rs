//! One bench per kernel or loop, each beside a baseline.
