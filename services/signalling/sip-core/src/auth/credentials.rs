//! The Authorization header (RFC 7616 section 3.4).

use std::fmt;

use super::ha1::{Algorithm, Ha1};
use crate::message::{CredentialsText, Method};
use crate::uri::SipUri;

/// Credentials as a phone sends them. `Debug` hides all of it.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    username: Box<str>,
    realm: Box<str>,
    algorithm: Algorithm,
    pub(super) nonce: Box<str>,
    pub(super) uri: Box<str>,
    pub(super) response: Box<str>,
    pub(super) nonce_count: u32,
    nonce_count_text: Box<str>,
    cnonce: Box<str>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credentials({})", self.algorithm.token())
    }
}

impl Credentials {
    /// Reads credentials; none when they are not Digest with `qop=auth`, an algorithm that was offered, and all
    /// that goes with it.
    pub fn parse(text: &CredentialsText) -> Option<Self> {
        let (scheme, rest) = text.0.trim().split_once(char::is_whitespace)?;
        if !scheme.eq_ignore_ascii_case("Digest") {
            return None;
        }
        let params = params(rest)?;
        let get = |name: &str| params.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        if !get("qop")?.eq_ignore_ascii_case("auth") {
            return None;
        }
        let nonce_count_text = get("nc")?;
        if nonce_count_text.len() != 8 {
            return None;
        }
        Some(Self {
            username: get("username")?.into(),
            realm: get("realm")?.into(),
            // RFC 7616 section 3.4: absent means MD5.
            algorithm: get("algorithm").map_or(Some(Algorithm::Md5), Algorithm::from_token)?,
            nonce: get("nonce")?.into(),
            uri: get("uri")?.into(),
            response: get("response")?.into(),
            nonce_count: u32::from_str_radix(nonce_count_text, 16).ok()?,
            nonce_count_text: nonce_count_text.into(),
            cnonce: get("cnonce")?.into(),
        })
    }

    /// The user that is claimed. It must not be logged.
    pub fn username(&self) -> &str {
        &self.username
    }

    /// The realm for which the password is.
    pub fn realm(&self) -> &str {
        &self.realm
    }

    /// The host in the `uri` for which they were made, in lower case, an IPv6 address without brackets; none when that names none.
    pub fn named_host(&self) -> Option<String> {
        let uri = SipUri::parse(self.uri.as_bytes()).ok()?;
        Some(uri.host()).filter(|host| !host.is_empty())
    }

    /// With which hash they were made.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// RFC 7616 section 3.4.1.
    pub(super) fn expected_response(&self, ha1: &Ha1, method: &Method) -> String {
        let ha2 = self.algorithm.hex(&format!("{method}:{}", self.uri));
        self.algorithm.hex(&format!(
            "{}:{}:{}:{}:auth:{ha2}",
            ha1.as_hex(),
            self.nonce,
            self.nonce_count_text,
            self.cnonce
        ))
    }
}

/// `name=token` and `name="quoted"`, separated by commas.
pub(super) fn params(text: &str) -> Option<Vec<(String, String)>> {
    let mut out: Vec<(String, String)> = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() && out.len() < PARAMS_MAX {
        let (name, after) = rest.split_once('=')?;
        let name = name.trim().to_ascii_lowercase();
        let after = after.trim_start();
        let (value, tail) = match after.strip_prefix('"') {
            Some(quoted) => quoted_value(quoted)?,
            None => {
                let end = after.find(',').unwrap_or(after.len());
                (after[..end].trim().to_owned(), &after[end..])
            }
        };
        // A parameter that stands there twice could mean one thing here and another behind us.
        if out.iter().any(|(known, _)| *known == name) {
            return None;
        }
        out.push((name, value));
        let tail = tail.trim_start();
        rest = match tail.strip_prefix(',') {
            Some(more) => more.trim_start(),
            None if tail.is_empty() => tail,
            None => return None,
        };
    }
    Some(out)
}

/// The text up to the closing quote, without escapes, and what follows.
fn quoted_value(text: &str) -> Option<(String, &str)> {
    let mut out = String::new();
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => {
                out.push(c);
                escaped = false;
            }
            '\\' => escaped = true,
            '"' => return Some((out, &text[at + 1..])),
            _ => out.push(c),
        }
    }
    None
}

const PARAMS_MAX: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::ha1;

    /// RFC 7616 section 3.9.1, both answers.
    #[test]
    fn the_rfcs_own_example() {
        for (algorithm, response) in [
            (Algorithm::Md5, "8ca523f5e9506fed4657c9700eebdbec"),
            (Algorithm::Sha256, "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
        ] {
            let text = format!(
                "Digest username=\"Mufasa\",\r\n realm=\"http-auth@example.org\", uri=\"/dir/index.html\", \
                 algorithm={}, nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", nc=00000001, \
                 cnonce=\"f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ\", qop=auth, response=\"{response}\", \
                 opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\"",
                algorithm.token()
            );
            let credentials = Credentials::parse(&CredentialsText(text.into())).unwrap();
            let a1 = ha1(algorithm, "Mufasa", "http-auth@example.org", "Circle of Life");
            let get = Method::Other("GET".into());
            assert_eq!(credentials.expected_response(&a1, &get), response);
            assert_eq!(&*credentials.response, response);
        }
    }
}
