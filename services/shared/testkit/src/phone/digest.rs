//! Digest authentication of the caller's side (RFC 8760, RFC 7616).

use aws_lc_rs::digest::{SHA256, digest};
use md5::{Digest as _, Md5};

use super::message::Message;

/// What a server asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Challenge {
    pub(crate) proxy: bool,
    pub(crate) sha256: bool,
    pub(crate) realm: String,
    pub(crate) nonce: String,
    pub(crate) opaque: Option<String>,
    pub(crate) qop: bool,
}

impl Challenge {
    /// The best challenge of a 401 or 407: SHA-256 before MD5.
    pub(crate) fn of(response: &Message) -> Option<Self> {
        let asked = |name: &'static str, proxy: bool| {
            response.all(name).filter_map(move |value| Self::parse(value, proxy)).collect::<Vec<_>>()
        };
        let mut all = asked("WWW-Authenticate", false);
        all.extend(asked("Proxy-Authenticate", true));
        all.sort_by_key(|challenge| !challenge.sha256);
        all.into_iter().next()
    }

    fn parse(value: &str, proxy: bool) -> Option<Self> {
        let fields = fields(value.trim().strip_prefix("Digest ")?);
        let field = |name: &str| {
            fields.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.clone())
        };
        let sha256 = match field("algorithm").as_deref() {
            None | Some("MD5" | "md5") => false,
            Some("SHA-256" | "sha-256") => true,
            Some(_) => return None,
        };
        let qop = field("qop");
        Some(Self {
            proxy,
            sha256,
            realm: field("realm")?,
            nonce: field("nonce")?,
            opaque: field("opaque"),
            qop: qop.is_some_and(|qop| qop.split(',').any(|one| one.trim() == "auth")),
        })
    }

    /// Name and value of the header field that answers.
    pub(crate) fn answer(
        &self,
        who: (&str, &str),
        method: &str,
        uri: &str,
        cnonce: &str,
    ) -> (&'static str, String) {
        let (user, password) = who;
        let response = self.response(user, password, method, uri, cnonce);
        let algorithm = if self.sha256 { "SHA-256" } else { "MD5" };
        let mut value = format!(
            "Digest username=\"{user}\", realm=\"{}\", nonce=\"{}\", uri=\"{uri}\", response=\"{response}\", algorithm={algorithm}",
            self.realm, self.nonce
        );
        if let Some(opaque) = &self.opaque {
            value.push_str(&format!(", opaque=\"{opaque}\""));
        }
        if self.qop {
            value.push_str(&format!(", qop=auth, nc=00000001, cnonce=\"{cnonce}\""));
        }
        (if self.proxy { "Proxy-Authorization" } else { "Authorization" }, value)
    }

    fn response(&self, user: &str, password: &str, method: &str, uri: &str, cnonce: &str) -> String {
        let ha1 = self.hash(&format!("{user}:{}:{password}", self.realm));
        let ha2 = self.hash(&format!("{method}:{uri}"));
        if self.qop {
            self.hash(&format!("{ha1}:{}:00000001:{cnonce}:auth:{ha2}", self.nonce))
        } else {
            self.hash(&format!("{ha1}:{}:{ha2}", self.nonce))
        }
    }

    fn hash(&self, text: &str) -> String {
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        if self.sha256 { hex(digest(&SHA256, text.as_bytes()).as_ref()) } else { hex(&Md5::digest(text)) }
    }
}

/// Splits at commas outside of quotes; takes the quotes off.
fn fields(text: &str) -> Vec<(String, String)> {
    let mut quoted = false;
    let split = text.split(|c| {
        quoted ^= c == '"';
        c == ',' && !quoted
    });
    split
        .filter_map(|part| part.split_once('='))
        .map(|(key, value)| (key.trim().to_owned(), value.trim().trim_matches('"').to_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn challenge(sha256: bool) -> Challenge {
        let algorithm = if sha256 { "SHA-256" } else { "MD5" };
        let value = format!(
            "Digest realm=\"http-auth@example.org\", qop=\"auth, auth-int\", algorithm={algorithm}, \
             nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\""
        );
        Challenge::parse(&value, false).unwrap()
    }

    /// The examples of RFC 7616, section 3.9.1.
    #[test]
    fn the_rfc_examples() {
        let cnonce = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ";
        let answer =
            |sha256| challenge(sha256).response("Mufasa", "Circle of Life", "GET", "/dir/index.html", cnonce);
        assert_eq!(answer(true), "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1");
        assert_eq!(answer(false), "8ca523f5e9506fed4657c9700eebdbec");
    }

    #[test]
    fn the_stronger_challenge_is_taken() {
        let response = Message::new("SIP/2.0 401 Unauthorized")
            .with("WWW-Authenticate", "Digest realm=\"a\", nonce=\"b\", algorithm=MD5, qop=\"auth\"")
            .with("WWW-Authenticate", "Digest realm=\"a\", nonce=\"b\", algorithm=SHA-256, qop=\"auth\"");
        assert!(Challenge::of(&response).unwrap().sha256);
        assert_eq!(Challenge::of(&Message::new("SIP/2.0 403 Forbidden")), None);
    }
}
