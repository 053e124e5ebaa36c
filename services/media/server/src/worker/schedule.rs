//! How long a thread had a processor, and how long it waited for one, by the kernel's own account.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::time::Duration;

/// The account of the thread that made it.
#[derive(Debug)]
pub(super) struct Schedule {
    /// None where the kernel keeps no account.
    file: Option<File>,
    before_ns: [u64; 2],
}

/// What a thread did for some time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Spent {
    /// It had a processor.
    pub(super) ran: Duration,
    /// It could have run, and others did.
    pub(super) waited: Duration,
}

impl Schedule {
    /// To be made on the thread itself.
    pub(super) fn of_this_thread() -> Self {
        let mut schedule = Self { file: File::open("/proc/thread-self/schedstat").ok(), before_ns: [0; 2] };
        schedule.since_last();
        schedule
    }

    /// Since this was last asked.
    pub(super) fn since_last(&mut self) -> Spent {
        let mut text = [0; 80];
        let read = self.file.as_ref().and_then(|file| file.read_at(&mut text, 0).ok()).unwrap_or(0);
        let now_ns = two_numbers(&text[..read]).unwrap_or(self.before_ns);
        let before_ns = std::mem::replace(&mut self.before_ns, now_ns);
        let since = |n: usize| Duration::from_nanos(now_ns[n].saturating_sub(before_ns[n]));
        Spent { ran: since(0), waited: since(1) }
    }
}

/// Time on a processor, time waiting for one, turns: all but the last in ns.
fn two_numbers(text: &[u8]) -> Option<[u64; 2]> {
    let mut numbers = text.split(|byte| *byte == b' ').map(number);
    Some([numbers.next()??, numbers.next()??])
}

fn number(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0u64, |sum, digit| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        sum.checked_mul(10)?.checked_add(digit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_number_is_time_on_a_processor_and_the_second_the_delay() {
        assert_eq!(two_numbers(b"123 4567 89\n"), Some([123, 4567]));
        assert_eq!((two_numbers(b"1"), two_numbers(b"1 x 2")), (None, None));
        let mut schedule = Schedule::of_this_thread();
        assert!(schedule.since_last().waited < Duration::from_secs(60));
    }
}
