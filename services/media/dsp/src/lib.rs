//! Signal kernels: G.711, mixing, tones and their detection.
