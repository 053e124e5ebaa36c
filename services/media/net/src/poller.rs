//! Readiness of many descriptors, until an absolute deadline.

use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::time::{Duration, Instant};

/// An epoll set with a timer of its own. Waiting through the timer instead of epoll's millisecond timeout keeps a 20 ms
/// grid exact to some microseconds.
#[derive(Debug)]
pub struct Poller {
    epoll: OwnedFd,
    timer: OwnedFd,
    events: Vec<libc::epoll_event>,
    ready: usize,
    armed_for: Option<Instant>,
}

/// Why [`Poller::wait`] returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Readiness {
    /// How many descriptors are readable; read their tokens with [`Poller::token`].
    pub count: usize,
}

/// The timer's own token, which no caller may use.
const TIMER_TOKEN: u64 = u64::MAX;

impl Poller {
    /// A set that tells of at most `events_max` descriptors at once (at least 1).
    pub fn new(events_max: usize) -> io::Result<Self> {
        // SAFETY: no pointer is passed; a non-negative result is a descriptor nobody else owns.
        let epoll = owned(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
        // SAFETY: as above.
        let timer = owned(unsafe {
            libc::timerfd_create(libc::CLOCK_MONOTONIC, libc::TFD_NONBLOCK | libc::TFD_CLOEXEC)
        })?;
        let events = vec![libc::epoll_event { events: 0, u64: 0 }; events_max.max(1) + 1];
        let poller = Self { epoll, timer, events, ready: 0, armed_for: None };
        poller.control(libc::EPOLL_CTL_ADD, &poller.timer, TIMER_TOKEN)?;
        Ok(poller)
    }

    /// Tells of `source` under `token` (any value but `u64::MAX`) whenever it is readable.
    pub fn add(&self, source: &impl AsFd, token: u64) -> io::Result<()> {
        if token == TIMER_TOKEN {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        self.control(libc::EPOLL_CTL_ADD, source, token)
    }

    /// Tells of it no more. Tokens that the last wait returned may still name it.
    pub fn remove(&self, source: &impl AsFd) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_DEL, source, 0)
    }

    /// Waits until something is readable or the deadline has come. An interruption by a signal is an early return.
    pub fn wait(&mut self, deadline: Instant) -> io::Result<Readiness> {
        self.ready = 0;
        let timeout = match deadline.checked_duration_since(Instant::now()) {
            None | Some(Duration::ZERO) => 0,
            Some(left) => {
                if self.armed_for != Some(deadline) {
                    self.arm(left)?;
                    self.armed_for = Some(deadline);
                }
                -1
            }
        };
        // SAFETY: the kernel writes at most `events.len()` entries to a live buffer of that length.
        let count = unsafe {
            libc::epoll_wait(
                self.epoll.as_raw_fd(),
                self.events.as_mut_ptr(),
                self.events.len() as libc::c_int,
                timeout,
            )
        };
        if count < 0 {
            let error = io::Error::last_os_error();
            return match error.kind() {
                io::ErrorKind::Interrupted => Ok(Readiness { count: 0 }),
                _ => Err(error),
            };
        }
        self.ready = count as usize;
        self.take_timer();
        Ok(Readiness { count: self.ready })
    }

    /// The token of the `index`th readable descriptor of the last wait.
    pub fn token(&self, index: usize) -> u64 {
        debug_assert!(index < self.ready);
        self.events[index].u64
    }

    fn take_timer(&mut self) {
        let Some(at) = self.events[..self.ready].iter().position(|event| event.u64 == TIMER_TOKEN) else {
            return;
        };
        self.ready -= 1;
        self.events.swap(at, self.ready);
        self.armed_for = None;
        let mut expirations = 0u64;
        // SAFETY: eight bytes are written to a live u64; when the timer was armed anew meanwhile nothing is.
        unsafe { libc::read(self.timer.as_raw_fd(), (&raw mut expirations).cast(), size_of::<u64>()) };
    }

    fn arm(&self, left: Duration) -> io::Result<()> {
        let spec = libc::itimerspec {
            it_interval: libc::timespec { tv_sec: 0, tv_nsec: 0 },
            it_value: libc::timespec {
                tv_sec: left.as_secs() as libc::time_t,
                tv_nsec: libc::c_long::from(left.subsec_nanos()),
            },
        };
        // SAFETY: `spec` is live for the call, and no old value is asked for.
        check(unsafe {
            libc::timerfd_settime(self.timer.as_raw_fd(), 0, &raw const spec, std::ptr::null_mut())
        })
    }

    fn control(&self, operation: libc::c_int, source: &impl AsFd, token: u64) -> io::Result<()> {
        let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: token };
        let fd = source.as_fd().as_raw_fd();
        // SAFETY: both descriptors are open for the call, and `event` is live.
        check(unsafe { libc::epoll_ctl(self.epoll.as_raw_fd(), operation, fd, &raw mut event) })
    }
}

fn owned(fd: libc::c_int) -> io::Result<OwnedFd> {
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the caller passes a descriptor that was just made and belongs to nobody.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Wake;

    #[test]
    fn a_wait_ends_with_its_deadline_and_tells_of_what_is_readable() {
        let mut poller = Poller::new(4).unwrap();
        let wake = Wake::new().unwrap();
        poller.add(&wake, 7).unwrap();
        let deadline = Instant::now() + Duration::from_millis(5);
        while Instant::now() < deadline {
            assert_eq!(poller.wait(deadline).unwrap().count, 0);
        }
        wake.ring();
        wake.ring();
        assert_eq!(poller.wait(Instant::now() + Duration::from_secs(10)).unwrap().count, 1);
        assert_eq!(poller.token(0), 7);
        assert!(wake.take() && !wake.take());
        poller.remove(&wake).unwrap();
        wake.ring();
        assert_eq!(poller.wait(Instant::now()).unwrap().count, 0);
        assert!(poller.add(&wake, u64::MAX).is_err());
    }
}
