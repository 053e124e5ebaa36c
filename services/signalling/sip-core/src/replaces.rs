//! The Replaces header (RFC 3891), by itself and inside a Refer-To.

use sidetone_model::ids::LegId;

use crate::events::dialog_info;
use crate::message::{DialogKey, Request};
use crate::uri::SipUri;

/// Which dialog of ours is meant. `Debug` hides it: who knows it may take the call over.
#[derive(Clone, PartialEq, Eq)]
pub struct Replaces {
    call_id: Box<str>,
    /// The tag of whoever gets the INVITE: ours.
    to_tag: Box<str>,
    from_tag: Box<str>,
    early_only: bool,
}

/// A Replaces that cannot be understood, or more than one (RFC 3891 section 3): 400.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a Replaces header that names no dialog")]
pub struct BadReplaces;

impl std::fmt::Debug for Replaces {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Replaces(..)")
    }
}

impl Replaces {
    /// Reads the header's value: Call-ID, `to-tag`, `from-tag` and perhaps `early-only`.
    pub fn parse(value: &str) -> Option<Self> {
        let mut parts = value.split(';').map(str::trim);
        let call_id = parts.next().filter(|call_id| !call_id.is_empty())?;
        let (mut to_tag, mut from_tag, mut early_only) = (None, None, false);
        for part in parts {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            match name.trim().to_ascii_lowercase().as_str() {
                "to-tag" if to_tag.is_none() => to_tag = Some(value.trim()),
                "from-tag" if from_tag.is_none() => from_tag = Some(value.trim()),
                "to-tag" | "from-tag" => return None,
                "early-only" => early_only = true,
                _ => {}
            }
        }
        Some(Self { call_id: call_id.into(), to_tag: to_tag?.into(), from_tag: from_tag?.into(), early_only })
    }

    /// The one in a request; none when it has none.
    ///
    /// # Errors
    /// When there are several, or it names no dialog.
    pub fn of_request(request: &Request) -> Result<Option<Self>, BadReplaces> {
        match request.headers_named("Replaces").as_slice() {
            [] => Ok(None),
            [one] => Self::parse(one).map(Some).ok_or(BadReplaces),
            _ => Err(BadReplaces),
        }
    }

    /// The one among the header fields of an address (RFC 3261 section 19.1.1), as Refer-To has it; none when it has none.
    ///
    /// # Errors
    /// When it names no dialog.
    pub(crate) fn of_address(address: &SipUri) -> Result<Option<Self>, BadReplaces> {
        let text = address.to_string();
        let Some((_, headers)) = text.split_once('?') else { return Ok(None) };
        let named = headers.split('&').filter_map(|header| header.split_once('='));
        let mut found = named.filter(|(name, _)| name.eq_ignore_ascii_case("Replaces"));
        match (found.next(), found.next()) {
            (None, _) => Ok(None),
            (Some((_, value)), None) => {
                unescaped(value).and_then(|value| Self::parse(&value)).map(Some).ok_or(BadReplaces)
            }
            _ => Err(BadReplaces),
        }
    }

    /// Under which keys the dialog may be found. Some phones have the tags the wrong way round; only one of the two is ever
    /// one of ours.
    pub fn keys(&self) -> [DialogKey; 2] {
        [&self.to_tag, &self.from_tag].map(|tag| DialogKey::new(&self.call_id, tag))
    }

    /// Whether the other side of a dialog has one of the tags too.
    pub fn names_remote(&self, remote_tag: &str) -> bool {
        [&self.to_tag, &self.from_tag].into_iter().any(|tag| **tag == *remote_tag)
    }

    /// The leg that it names as the documents of the `dialog` package do (RFC 4235), in place of its dialog.
    pub fn leg_watched(&self) -> Option<LegId> {
        dialog_info::leg_named(&self.call_id, |tag| self.names_remote(tag))
    }

    /// Only a dialog that is not answered yet is meant.
    pub fn is_early_only(&self) -> bool {
        self.early_only
    }
}

/// Percent escapes (RFC 3261 section 25.1); none when one of them is broken.
fn unescaped(text: &str) -> Option<String> {
    let mut bytes = text.bytes();
    let mut out = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
        let (high, low) = (digit(bytes.next())?, digit(bytes.next())?);
        out.push((high * 16 + low) as u8);
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_names_no_dialog_is_none() {
        let whole = Replaces::parse("a@b;to-tag=7;from-tag=8;early-only").unwrap();
        assert!(whole.is_early_only() && whole.names_remote("8") && !whole.names_remote("9"));
        assert_eq!(whole.keys()[0], DialogKey::new("a@b", "7"));
        for text in
            ["", "a", "a;to-tag=1", "a;from-tag=1", ";to-tag=1;from-tag=2", "a;to-tag=1;to-tag=2;from-tag=3"]
        {
            assert_eq!(Replaces::parse(text), None, "{text}");
        }
    }

    #[test]
    fn it_stands_escaped_in_an_address() {
        let read = |text: &str| Replaces::of_address(&SipUri::parse(text).unwrap());
        let found = read("sip:1@x?Replaces=a%40b%3Bto-tag%3D7%3Bfrom-tag%3D8&Require=replaces");
        assert_eq!(found, Ok(Replaces::parse("a@b;to-tag=7;from-tag=8")));
        assert_eq!(read("sip:1@x"), Ok(None));
        assert_eq!(read("sip:1@x?Subject=a"), Ok(None));
        assert_eq!(read("sip:1@x?Replaces=a%40b"), Err(BadReplaces));
    }
}
