//! What every sender of webhooks does alike: the client, the pause a receiver asks for, the end of an answer.

use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{Client, Response};
use sidetone_model::time::Timestamp;

use super::Egress;

/// A client that only reaches what `egress` lets through. `idle_max` connections to each host are kept for the next request.
///
/// # Errors
/// When the system has no TLS or no resolver to build it on.
pub fn client(egress: &Egress, connect_timeout: Duration, idle_max: usize) -> Result<Client, reqwest::Error> {
    Client::builder()
        // A redirect would leave the checked address; a proxy would resolve the name itself.
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .dns_resolver(Arc::new(egress.clone()))
        .connect_timeout(connect_timeout)
        .pool_max_idle_per_host(idle_max)
        .user_agent(concat!("sidetone/", env!("CARGO_PKG_VERSION")))
        .build()
}

/// How long a receiver asks to be left alone: seconds or a date (RFC 9110, section 10.2.3). A date that is past is no time.
pub fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = jiff::fmt::rfc2822::parse(text).ok()?.timestamp().as_millisecond();
    Some(Timestamp::from_millis(u64::try_from(date).ok()?).since(now))
}

/// Reads a short answer to its end, so that the connection can be used again; of a long one, or one that trickles, the
/// connection is closed. Nobody waits for it: the status has decided.
pub fn drain_in_background(mut response: Response) {
    let whole = async move {
        let mut read = 0;
        while let Ok(Some(chunk)) = response.chunk().await {
            read += chunk.len();
            if read > ANSWER_BYTES_MAX {
                return;
            }
        }
    };
    tokio::spawn(tokio::time::timeout(DRAIN_MAX, whole));
}

const DRAIN_MAX: Duration = Duration::from_secs(1);
const ANSWER_BYTES_MAX: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_is_seconds_or_a_date() {
        let now = Timestamp::from_millis(784_111_777_000); // Sun, 06 Nov 1994 08:49:37 GMT
        for (text, pause) in [
            ("120", Some(120)),
            ("Sun, 06 Nov 1994 08:50:37 GMT", Some(60)),
            ("Sun, 06 Nov 1994 08:00:00 GMT", Some(0)),
            ("soon", None),
            ("-1", None),
        ] {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, text.parse().unwrap())]);
            assert_eq!(retry_after(&headers, now), pause.map(Duration::from_secs), "{text}");
        }
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
    }
}
