//! Prompts by URL: fetched within limits of address, size, type and time.
//!
//! A URL comes from whoever steers a call, so it must not reach what only this node can reach: every address a name resolves
//! to is checked, the connection is made to the addresses that were checked, and each redirect begins anew. Exceptions are
//! named by the operator in `media.fetch.allow`.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use futures_util::StreamExt as _;
use reqwest::{Response, Url, redirect};
use sidetone_runtime::egress::Egress;

use crate::config::Fetch;
use crate::error::MediaError;

/// What was fetched.
#[derive(Debug)]
pub(super) struct Fetched {
    pub(super) bytes: Vec<u8>,
    /// By type or name; a hint for the decoder.
    pub(super) ending: &'static str,
}

/// Redirects that are followed.
const REDIRECTS_MAX: usize = 3;

/// Fetches a whole file.
pub(super) async fn fetch(config: &Fetch, url: &str) -> Result<Fetched, MediaError> {
    let limit = Duration::from_secs(config.timeout_s);
    match tokio::time::timeout(limit, follow(config, url)).await {
        Ok(fetched) => fetched,
        Err(_) => Err(failed("it took too long")),
    }
}

async fn follow(config: &Fetch, url: &str) -> Result<Fetched, MediaError> {
    let mut url = parse(url)?;
    for _ in 0..=REDIRECTS_MAX {
        let response = get(config, &url).await?;
        if response.status().is_redirection() {
            let to = response.headers().get(reqwest::header::LOCATION).and_then(|to| to.to_str().ok());
            let to = to.ok_or_else(|| failed("a redirect to nowhere"))?;
            url = parse(url.join(to).map_err(|_| failed("a redirect to nowhere"))?.as_str())?;
            continue;
        }
        if !response.status().is_success() {
            return Err(failed("the server does not give it"));
        }
        return take(config, &url, response).await;
    }
    Err(failed("too many redirects"))
}

fn parse(url: &str) -> Result<Url, MediaError> {
    let url = Url::parse(url).map_err(|_| refused("is no URL"))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(refused("expected http or https"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(refused("must not hold credentials"));
    }
    Ok(url)
}

async fn get(config: &Fetch, url: &Url) -> Result<Response, MediaError> {
    let addresses = addresses(config, url).await?;
    let host = url.host_str().unwrap_or_default();
    let client = reqwest::Client::builder()
        .redirect(redirect::Policy::none())
        .no_proxy()
        .resolve_to_addrs(host, &addresses)
        .build()
        .map_err(|_| failed("no client"))?;
    client.get(url.clone()).send().await.map_err(|_| failed("the server cannot be reached"))
}

/// The addresses of a host, all of which may be spoken to.
async fn addresses(config: &Fetch, url: &Url) -> Result<Vec<SocketAddr>, MediaError> {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    let port = url.port_or_known_default().unwrap_or(80);
    let found: Vec<SocketAddr> = match host.parse::<IpAddr>() {
        Ok(ip) => vec![SocketAddr::new(ip, port)],
        Err(_) => tokio::net::lookup_host((host, port))
            .await
            .map_err(|_| failed("its host has no address"))?
            .collect(),
    };
    let public = Egress::new([]);
    let allowed = |ip: IpAddr| public.check(ip).is_ok() || config.allows(host, ip);
    if found.is_empty() || !found.iter().all(|address| allowed(address.ip())) {
        return Err(refused("leads to an address that this node must not speak to"));
    }
    Ok(found)
}

async fn take(config: &Fetch, url: &Url, response: Response) -> Result<Fetched, MediaError> {
    let content_type = response.headers().get(reqwest::header::CONTENT_TYPE);
    let content_type = content_type.and_then(|t| t.to_str().ok()).unwrap_or("").to_ascii_lowercase();
    let content_type = content_type.split(';').next().unwrap_or_default().trim();
    let ending = ending(content_type, url.path()).ok_or_else(|| failed("it is no sound"))?;
    let most = config.size_max_kb * 1024;
    if response.content_length().is_some_and(|length| length > most as u64) {
        return Err(failed("it is too large"));
    }
    let mut bytes = Vec::new();
    let mut parts = response.bytes_stream();
    while let Some(part) = parts.next().await {
        let part = part.map_err(|_| failed("the server broke off"))?;
        if bytes.len() + part.len() > most {
            return Err(failed("it is too large"));
        }
        bytes.extend_from_slice(&part);
    }
    Ok(Fetched { bytes, ending })
}

/// As what a file is to be decoded; none when it is no sound, or not what its name says: who asks for an mp3 or wav by that name is
/// not given something else.
fn ending(content_type: &str, path: &str) -> Option<&'static str> {
    const BY_NAME: [&str; 2] = ["mp3", "wav"];
    let named = path.rsplit_once('.').map_or("", |(_, ending)| ending).to_ascii_lowercase();
    let said = of_type(content_type, &named)?;
    (!BY_NAME.contains(&&*named) || BY_NAME.contains(&said)).then_some(said)
}

fn of_type(content_type: &str, named: &str) -> Option<&'static str> {
    match content_type {
        "audio/wav" | "audio/x-wav" | "audio/wave" | "audio/vnd.wave" => Some("wav"),
        "audio/mpeg" | "audio/mp3" => Some("mp3"),
        "audio/flac" | "audio/x-flac" => Some("flac"),
        "audio/ogg" | "application/ogg" => Some("ogg"),
        "audio/basic" | "audio/pcmu" => Some("ulaw"),
        "audio/pcma" => Some("alaw"),
        "" | "application/octet-stream" | "binary/octet-stream" => {
            Some(super::decode::ENDINGS.into_iter().find(|known| *known == named).unwrap_or("wav"))
        }
        _ => None,
    }
}

fn refused(problem: &'static str) -> MediaError {
    MediaError::Invalid { field: "url", problem }
}

fn failed(problem: &'static str) -> MediaError {
    MediaError::Fetch(problem)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_what_its_type_says_and_no_other_than_its_name_says() {
        for (content_type, path, expected) in [
            ("audio/mpeg", "/a.mp3", Some("mp3")),
            ("audio/x-wav", "/a.WAV", Some("wav")),
            // Two names of one thing for a telephone, and servers mix them up.
            ("audio/mpeg", "/a.wav", Some("mp3")),
            ("application/octet-stream", "/a.MP3", Some("mp3")),
            ("audio/flac", "/a.flac", Some("flac")),
            ("audio/ogg", "/a", Some("ogg")),
            ("audio/flac", "/a.mp3", None),
            ("application/ogg", "/a.Wav", None),
            ("audio/basic", "/a.wav", None),
            ("text/html", "/a.mp3", None),
        ] {
            assert_eq!(ending(content_type, path), expected, "{content_type} {path}");
        }
    }

    #[tokio::test]
    async fn urls_that_lead_inside_are_refused() {
        let config = Fetch::default();
        for url in [
            "http://127.0.0.1/a.wav",
            "http://localhost/a.wav",
            "http://[::1]:80/a.wav",
            "http://169.254.169.254/latest/meta-data",
            "http://2130706433/a.wav",
            "http://0x7f.1/a.wav",
            "file:///etc/passwd",
            "ftp://example.com/a.wav",
            "http://user:pass@8.8.8.8/a.wav",
            "gopher://x",
            "nonsense",
        ] {
            let error = fetch(&config, url).await.unwrap_err();
            assert!(matches!(error, MediaError::Invalid { field: "url", .. }), "{url}: {error:?}");
        }
    }
}
