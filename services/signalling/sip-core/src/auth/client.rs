//! Digest authentication as a client (RFC 7616, section 3.4; RFC 3261, section 22): what answers a carrier's challenge.

use super::credentials::params;
use super::ha1::{Algorithm, ha1};
use crate::message::{Method, Response, Status};

/// One challenge that can be answered. `Debug` is harmless: a challenge is no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge {
    /// The header field that brings the answer.
    pub answer_header: &'static str,
    realm: String,
    nonce: String,
    opaque: Option<String>,
    algorithm: Algorithm,
    algorithm_named: bool,
    qop_auth: bool,
    /// The nonce was too old; the password was right.
    pub stale: bool,
}

impl Challenge {
    /// The first challenge of a 401 or 407 that we can answer (RFC 8760, section 2.4); none in other responses.
    pub fn of(response: &Response) -> Option<Self> {
        let (header, answer_header) = match response.status() {
            Status::UNAUTHORIZED => ("WWW-Authenticate", "Authorization"),
            Status::PROXY_AUTHENTICATION_REQUIRED => ("Proxy-Authenticate", "Proxy-Authorization"),
            _ => return None,
        };
        response.headers_named(header).iter().find_map(|line| Self::parse(line, answer_header))
    }

    fn parse(line: &str, answer_header: &'static str) -> Option<Self> {
        let (scheme, rest) = line.trim().split_once(char::is_whitespace)?;
        if !scheme.eq_ignore_ascii_case("Digest") {
            return None;
        }
        let params = params(rest)?;
        let get = |name: &str| params.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
        let algorithm = get("algorithm");
        let qop = get("qop");
        let qop_auth = qop.as_deref().is_some_and(|q| q.split(',').any(|one| one.trim() == "auth"));
        // A server that wants the body protected wants what few phones do.
        if qop.is_some() && !qop_auth {
            return None;
        }
        Some(Self {
            answer_header,
            realm: get("realm")?,
            nonce: get("nonce")?,
            opaque: get("opaque"),
            algorithm_named: algorithm.is_some(),
            algorithm: algorithm.map_or(Some(Algorithm::Md5), |name| Algorithm::from_token(&name))?,
            qop_auth,
            stale: get("stale").is_some_and(|stale| stale.eq_ignore_ascii_case("true")),
        })
    }

    /// The value of the header field that answers it, for one request.
    pub fn answer(&self, username: &str, password: &str, method: &Method, uri: &str, cnonce: &str) -> String {
        let quoted = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"");
        let a1 = ha1(self.algorithm, username, &self.realm, password);
        let a2 = self.algorithm.hex(&format!("{}:{uri}", method.as_str()));
        let proof = match self.qop_auth {
            true => format!("{}:{}:{NONCE_COUNT}:{cnonce}:auth:{a2}", a1.as_hex(), self.nonce),
            // RFC 2069, as some carriers still ask.
            false => format!("{}:{}:{a2}", a1.as_hex(), self.nonce),
        };
        let mut out = format!(
            "Digest username=\"{}\", realm=\"{}\", nonce=\"{}\", uri=\"{uri}\", response=\"{}\"",
            quoted(username),
            quoted(&self.realm),
            quoted(&self.nonce),
            self.algorithm.hex(&proof)
        );
        if self.algorithm_named {
            out.push_str(&format!(", algorithm={}", self.algorithm.token()));
        }
        if self.qop_auth {
            out.push_str(&format!(", qop=auth, nc={NONCE_COUNT}, cnonce=\"{cnonce}\""));
        }
        if let Some(opaque) = &self.opaque {
            out.push_str(&format!(", opaque=\"{}\"", quoted(opaque)));
        }
        out
    }
}

/// Each nonce is used once.
const NONCE_COUNT: &str = "00000001";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_rfc_2617_is_answered_as_there() {
        let line = "Digest realm=\"testrealm@host.com\", qop=\"auth,auth-int\", \
                    nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\", opaque=\"5ccc069c403ebaf9f0171e9517f40e41\"";
        let challenge = Challenge::parse(line, "Authorization").unwrap();
        let method = Method::Other("GET".into());
        let answer = challenge.answer("Mufasa", "Circle Of Life", &method, "/dir/index.html", "0a4f113b");
        assert!(answer.contains("response=\"6629fae49393a05397450978507c4ef1\""), "{answer}");
        assert!(
            answer.contains("opaque=\"5ccc069c403ebaf9f0171e9517f40e41\"") && !answer.contains("algorithm")
        );
    }

    #[test]
    fn what_cannot_be_answered_is_passed_over() {
        for line in [
            "Basic realm=\"a\"",
            "Digest realm=\"a\", nonce=\"b\", algorithm=SHA-512-256-sess",
            "Digest realm=\"a\", nonce=\"b\", qop=\"auth-int\"",
            "Digest realm=\"a\"",
        ] {
            assert_eq!(Challenge::parse(line, "Authorization"), None, "{line}");
        }
    }
}
