//! The Identity header field (RFC 8224, section 4).

use crate::fault::Fault;

/// One Identity header field: a PASSporT in its full or compact form, and what stands behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentityHeader {
    /// Protected header and claims as they came, in base64url; none in the compact form (RFC 8225, section 7).
    pub(crate) signed: Option<(Box<str>, Box<str>)>,
    /// The signature in base64url.
    pub(crate) signature: Box<str>,
    /// `info`: where the certificate is.
    pub(crate) info: Option<Box<str>>,
    /// `alg`.
    pub(crate) alg: Option<Box<str>>,
    /// `ppt`: the type of the PASSporT.
    pub(crate) ppt: Option<Box<str>>,
}

impl IdentityHeader {
    /// Parses one value.
    ///
    /// # Errors
    /// [`Fault::Malformed`] when it is none.
    pub fn parse(value: &str) -> Result<Self, Fault> {
        if value.len() > BYTES_MAX {
            return Err(Fault::Malformed);
        }
        let (token, mut rest) = value.split_once(';').unwrap_or((value, ""));
        let (signed, signature) = token_parts(token.trim())?;
        let mut header = Self { signed, signature, info: None, alg: None, ppt: None };
        while !rest.trim().is_empty() {
            let (name, text, behind) = parameter(rest)?;
            rest = behind;
            let place = match name.to_ascii_lowercase().as_str() {
                "info" => &mut header.info,
                "alg" => &mut header.alg,
                "ppt" => &mut header.ppt,
                // RFC 8224, section 4: further parameters are for others.
                _ => continue,
            };
            if place.replace(text).is_some() {
                return Err(Fault::Malformed);
            }
        }
        Ok(header)
    }

    /// Whether the PASSporT is in its compact form.
    pub fn is_compact(&self) -> bool {
        self.signed.is_none()
    }
}

/// Header, claims and signature; the first two are both there or both not.
#[allow(clippy::type_complexity, reason = "taken apart at once")]
fn token_parts(token: &str) -> Result<(Option<(Box<str>, Box<str>)>, Box<str>), Fault> {
    let mut parts = token.split('.');
    let (Some(header), Some(claims), Some(signature), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(Fault::Malformed);
    };
    match (header.is_empty(), claims.is_empty(), signature.is_empty()) {
        (false, false, false) => Ok((Some((header.into(), claims.into())), signature.into())),
        (true, true, false) => Ok((None, signature.into())),
        _ => Err(Fault::Malformed),
    }
}

/// The first parameter of a list, without its quotes or angle brackets, and what stands behind it.
fn parameter(text: &str) -> Result<(&str, Box<str>, &str), Fault> {
    let (name, rest) = text.split_once('=').ok_or(Fault::Malformed)?;
    let rest = rest.trim_start();
    let end_of = |open: usize, close: char| {
        rest.get(open..).and_then(|inner| inner.find(close)).map(|at| at + open).ok_or(Fault::Malformed)
    };
    let (value, behind) = match rest.chars().next() {
        Some('<') => {
            let end = end_of(1, '>')?;
            (&rest[1..end], &rest[end + 1..])
        }
        Some('"') => {
            let end = end_of(1, '"')?;
            (&rest[1..end], &rest[end + 1..])
        }
        _ => {
            let end = rest.find(';').unwrap_or(rest.len());
            (rest[..end].trim_end(), &rest[end..])
        }
    };
    let behind = behind.trim_start();
    let next = behind.strip_prefix(';').unwrap_or(behind);
    if next.len() == behind.len() && !behind.is_empty() {
        return Err(Fault::Malformed);
    }
    Ok((name.trim(), value.into(), next))
}

/// More than any PASSporT of a telephone call needs.
const BYTES_MAX: usize = 8192;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_are_read_and_half_ones_are_refused() {
        let full = IdentityHeader::parse(
            "aa.bb.cc ; info = <https://c.example/a;b=c.pem>;alg=ES256 ;PPT=\"shaken\";other=1",
        )
        .unwrap();
        assert_eq!(full.signed, Some(("aa".into(), "bb".into())));
        assert_eq!(full.info.as_deref(), Some("https://c.example/a;b=c.pem"));
        assert_eq!((full.alg.as_deref(), full.ppt.as_deref()), (Some("ES256"), Some("shaken")));
        let compact = IdentityHeader::parse("..cc;info=<https://c.example/a.pem>").unwrap();
        assert!(compact.is_compact() && compact.ppt.is_none());
        for bad in [
            "",
            "aa.bb",
            "aa..cc;info=<x>",
            ".bb.cc;info=<x>",
            "aa.bb.;info=<x>",
            "aa.bb.cc.dd;info=<x>",
            "aa.bb.cc;info=<x",
            "aa.bb.cc;info",
            "aa.bb.cc;info=<x>y;alg=ES256",
            "aa.bb.cc;alg=a;alg=b",
        ] {
            assert_eq!(IdentityHeader::parse(bad), Err(Fault::Malformed), "{bad}");
        }
        assert_eq!(IdentityHeader::parse(&"a".repeat(BYTES_MAX + 1)), Err(Fault::Malformed));
    }
}
