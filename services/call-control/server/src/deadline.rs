//! Until when a command may be carried out: as long as somebody waits for its outcome.

use std::time::Duration;

use tonic::Request;

/// How long the client waits by its own word: `grpc-timeout`, as gRPC over HTTP/2 has it, a number of up to 8 digits and a unit.
/// None where it says nothing, or something else.
pub(crate) fn asked_for<T>(request: &Request<T>) -> Option<Duration> {
    parsed(request.metadata().get("grpc-timeout")?.to_str().ok()?)
}

fn parsed(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if !(1..=8).contains(&digits.len()) || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let n: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(n * 3600)),
        "M" => Some(Duration::from_secs(n * 60)),
        "S" => Some(Duration::from_secs(n)),
        "m" => Some(Duration::from_millis(n)),
        "u" => Some(Duration::from_micros(n)),
        "n" => Some(Duration::from_nanos(n)),
        _ => None,
    }
}

/// The shorter of what a command may take and what the client waits.
pub(crate) fn within(most: Duration, asked: Option<Duration>) -> Duration {
    asked.map_or(most, |asked| asked.min(most))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_client_says_is_understood_in_every_unit_and_never_lengthens_a_deadline() {
        for (text, told) in [
            ("1H", Some(Duration::from_secs(3600))),
            ("2M", Some(Duration::from_secs(120))),
            ("3S", Some(Duration::from_secs(3))),
            ("250m", Some(Duration::from_millis(250))),
            ("5u", Some(Duration::from_micros(5))),
            ("99999999n", Some(Duration::from_nanos(99_999_999))),
            ("", None),
            ("S", None),
            ("123456789S", None),
            ("-1S", None),
            ("1s", None),
            ("1\u{e9}", None),
        ] {
            assert_eq!(parsed(text), told, "{text}");
        }
        let most = Duration::from_secs(5);
        assert_eq!(within(most, None), most);
        assert_eq!(within(most, Some(Duration::from_secs(60))), most);
        assert_eq!(within(most, Some(Duration::from_secs(1))), Duration::from_secs(1));
    }
}
