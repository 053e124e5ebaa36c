//! What can go wrong with a container.

/// Why sound or a file was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// The position is further ahead than [`crate::wav::GAP_FRAMES_MAX`]: a clock jumped, and the silence would fill the
    /// disk.
    #[error("a gap of {frames} frames is too long to fill with silence")]
    GapTooLong {
        /// How far ahead, in frames.
        frames: u64,
    },
    /// The block does not hold whole frames.
    #[error("{samples} samples are not whole frames of {channels} channels")]
    PartialFrame {
        /// Samples in the block.
        samples: usize,
        /// Channels of the file.
        channels: u16,
    },
    /// The file would be larger than a WAV header can say (4 GiB).
    #[error("the file is as large as its container allows")]
    Full,
    /// The file is not one that this crate has written.
    #[error("not a recording of ours")]
    NotOurs,
}
