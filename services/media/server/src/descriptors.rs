//! Room for the sockets of all legs, made once.
//!
//! The kernel doubles a process's table of descriptors as it fills, and one that has several threads waits meanwhile until all
//! processors have let go of the former table: 7 to 16 ms, measured, for the leg whose socket is the 256th descriptor, or the 512th.

use std::fs::File;

use rustix::io::{Errno, fcntl_dupfd_cloexec};

/// RTP and RTCP.
const PER_LEG: usize = 2;
/// What the rest of the process has open, as far as that can be told.
const BESIDES: usize = 256;
/// A table begins with so many.
const LEAST: i32 = 64;

/// Lets the table have room for so many legs, or for as many as the process may have (`RLIMIT_NOFILE`). What is not to be had is no
/// fault: the table grows when it is needed.
pub(crate) fn reserve(legs: usize) {
    let Ok(any) = File::open("/dev/null") else { return };
    let mut number = i32::try_from(legs * PER_LEG + BESIDES).unwrap_or(i32::MAX);
    // The number is taken for a moment, and the table stays as large.
    while number > LEAST && fcntl_dupfd_cloexec(&any, number).is_err_and(|error| error == Errno::INVAL) {
        number /= 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// For how many descriptors there is room, and how many are open.
    fn table() -> (usize, usize) {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let size = status.lines().find_map(|line| line.strip_prefix("FDSize:")).unwrap();
        (size.trim().parse().unwrap(), std::fs::read_dir("/proc/self/fd").unwrap().count())
    }

    #[test]
    fn there_is_room_for_all_legs_and_nothing_stays_open() {
        // Within the least limit that is usual, 1,024.
        let (_, open) = table();
        reserve(300);
        let (size, after) = table();
        assert!(size >= 300 * PER_LEG + BESIDES, "{size}");
        assert!(after < open + 100, "{open} and {after}: of other tests there may be some");
        reserve(1 << 20);
        assert!(table().0 >= size, "more than may be had");
    }
}
