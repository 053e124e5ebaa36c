//! Waking a thread that waits for readiness, without a lock.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::time::Duration;

/// A wake-up that is remembered until it is taken (an eventfd). Clones share it.
#[derive(Debug, Clone)]
pub struct Wake(Arc<OwnedFd>);

impl Wake {
    /// A new one, not rung.
    pub fn new() -> io::Result<Self> {
        // SAFETY: eventfd takes no pointer; a non-negative result is a descriptor nobody else owns.
        let fd = unsafe { libc::eventfd(0, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor was just made and belongs to us alone.
        Ok(Self(Arc::new(unsafe { OwnedFd::from_raw_fd(fd) })))
    }

    /// Makes it readable. Never blocks; ringing twice is like ringing once.
    pub fn ring(&self) {
        let one = 1u64;
        // SAFETY: eight bytes are read from a live u64. The only failure is a full counter, which is readable already.
        unsafe { libc::write(self.0.as_raw_fd(), (&raw const one).cast(), size_of::<u64>()) };
    }

    /// Sleeps for so long, or until it is rung: it stays rung. An interruption by a signal is an early return.
    pub fn rest(&self, time: Duration) {
        let timeout = libc::timespec {
            tv_sec: time.as_secs() as libc::time_t,
            tv_nsec: libc::c_long::from(time.subsec_nanos()),
        };
        let mut own = libc::pollfd { fd: self.0.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: one live entry is named, and a live time-out; no signal mask is set.
        unsafe { libc::ppoll(&raw mut own, 1, &raw const timeout, std::ptr::null()) };
    }

    /// Takes what was rung; whether there was anything.
    pub fn take(&self) -> bool {
        let mut count = 0u64;
        // SAFETY: eight bytes are written to a live u64.
        let read = unsafe { libc::read(self.0.as_raw_fd(), (&raw mut count).cast(), size_of::<u64>()) };
        read == size_of::<u64>() as isize
    }
}

impl AsFd for Wake {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for Wake {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rest_ends_when_it_is_rung_and_leaves_that_to_be_taken() {
        let wake = Wake::new().unwrap();
        wake.rest(Duration::from_micros(1));
        assert!(!wake.take());
        let (forever, other) = (Duration::from_secs(3600), wake.clone());
        std::thread::spawn(move || other.ring());
        wake.rest(forever);
        wake.rest(forever);
        assert!(wake.take() && !wake.take());
    }
}
