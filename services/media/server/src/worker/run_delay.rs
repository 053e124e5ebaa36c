//! How long a thread waited for a processor, by the kernel's own account.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::time::Duration;

/// The run delay of the thread that made it: time for which it could have run and others did.
#[derive(Debug)]
pub(super) struct RunDelay {
    /// None where the kernel keeps no account.
    file: Option<File>,
    before_ns: u64,
}

impl RunDelay {
    /// To be made on the thread itself.
    pub(super) fn of_this_thread() -> Self {
        let mut delay = Self { file: File::open("/proc/thread-self/schedstat").ok(), before_ns: 0 };
        delay.since_last();
        delay
    }

    /// The delay since this was last asked.
    pub(super) fn since_last(&mut self) -> Duration {
        let mut text = [0; 80];
        let read = self.file.as_ref().and_then(|file| file.read_at(&mut text, 0).ok()).unwrap_or(0);
        let now_ns = second_number(&text[..read]).unwrap_or(self.before_ns);
        let before_ns = std::mem::replace(&mut self.before_ns, now_ns);
        Duration::from_nanos(now_ns.saturating_sub(before_ns))
    }
}

/// Time on a processor, time waiting for one, turns: all but the last in ns.
fn second_number(text: &[u8]) -> Option<u64> {
    let digits = text.split(|byte| *byte == b' ').nth(1)?;
    digits.iter().try_fold(0u64, |sum, digit| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        sum.checked_mul(10)?.checked_add(digit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_number_is_the_delay() {
        assert_eq!(second_number(b"123 4567 89\n"), Some(4567));
        assert_eq!((second_number(b""), second_number(b"1 x 2")), (None, None));
        let mut delay = RunDelay::of_this_thread();
        assert!(delay.since_last() < Duration::from_secs(60));
    }
}
