//! Putting a thread before those that can wait.

use std::io;

/// The lowest and the highest real-time priority (sched(7)).
pub const REALTIME_PRIORITIES: std::ops::RangeInclusive<u8> = 1..=99;

/// Gives the calling thread the kernel's first-in-first-out scheduling with a `priority` out of [`REALTIME_PRIORITIES`]: it runs as
/// soon as it can, before every thread without such a priority. Threads that it starts do not inherit it.
///
/// # Errors
/// `PermissionDenied` without the capability `CAP_SYS_NICE` and with an `RLIMIT_RTPRIO` below `priority`; `InvalidInput` for a
/// priority out of range.
pub fn set_current_thread_realtime(priority: u8) -> io::Result<()> {
    if !REALTIME_PRIORITIES.contains(&priority) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    // SAFETY: all-zero is a valid value of a struct of numbers (C libraries differ in how many there are).
    let mut parameters: libc::sched_param = unsafe { std::mem::zeroed() };
    parameters.sched_priority = priority.into();
    let policy = libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK;
    // SAFETY: the pointer is to a live value of the type that is expected; 0 names the calling thread.
    let result = unsafe { libc::sched_setscheduler(0, policy, &raw const parameters) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The policy of the calling thread, without flags.
    fn policy() -> i32 {
        // SAFETY: reads a number; 0 names the calling thread.
        unsafe { libc::sched_getscheduler(0) & !libc::SCHED_RESET_ON_FORK }
    }

    #[test]
    fn a_thread_is_put_first_where_that_is_permitted_and_its_children_are_not() {
        std::thread::spawn(|| match set_current_thread_realtime(10) {
            Ok(()) => {
                assert_eq!(policy(), libc::SCHED_FIFO);
                assert_eq!(std::thread::spawn(policy).join().unwrap(), libc::SCHED_OTHER);
            }
            Err(error) => {
                assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
                assert_eq!(policy(), libc::SCHED_OTHER);
            }
        })
        .join()
        .unwrap();
        assert_eq!(set_current_thread_realtime(0).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }
}
