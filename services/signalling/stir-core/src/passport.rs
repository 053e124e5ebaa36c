//! PASSporTs (RFC 8225), with the claims of SHAKEN (RFC 8588).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use crate::fault::Fault;
use crate::number::TelephoneNumber;

/// Who calls or is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identifier {
    /// By telephone number.
    Number(TelephoneNumber),
    /// By URI.
    Uri(Box<str>),
}

/// How well the signer knows the caller (RFC 8588, section 4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Attestation {
    /// Full: the caller is the signer's customer and may use the number.
    A,
    /// Partial: the caller is the signer's customer.
    B,
    /// Gateway: the call came to the signer from elsewhere.
    C,
}

impl Attestation {
    /// The letter.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::A => "A",
            Self::B => "B",
            Self::C => "C",
        }
    }
}

/// The types of PASSporTs that are understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ppt {
    /// The base type, without `ppt`.
    Base,
    /// RFC 8588.
    Shaken,
}

impl Ppt {
    /// By its name; none for types that others understand.
    pub(crate) fn named(name: Option<&str>) -> Option<Self> {
        match name {
            None => Some(Self::Base),
            Some(name) if name.eq_ignore_ascii_case(SHAKEN) => Some(Self::Shaken),
            Some(_) => None,
        }
    }

    /// Its name; none for the base type.
    pub fn name(self) -> Option<&'static str> {
        match self {
            Self::Base => None,
            Self::Shaken => Some(SHAKEN),
        }
    }
}

/// What is signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passport {
    /// Its type.
    pub ppt: Ppt,
    /// Where the certificate is.
    pub x5u: Box<str>,
    /// When it was signed, in seconds since 1970.
    pub iat: u64,
    /// Who calls.
    pub orig: Identifier,
    /// Who is called; never empty.
    pub dest: Vec<Identifier>,
    /// How well the signer knows the caller; only, and always, with [`Ppt::Shaken`].
    pub attest: Option<Attestation>,
    /// An opaque name of where the call came from, for whoever traces it back; likewise.
    pub origid: Option<Box<str>>,
}

impl Passport {
    /// A PASSporT of type `shaken` from one number to another.
    pub fn shaken(
        x5u: &str,
        (orig, dest): (TelephoneNumber, TelephoneNumber),
        attest: Attestation,
        origid: &str,
        iat: u64,
    ) -> Self {
        Self {
            ppt: Ppt::Shaken,
            x5u: x5u.into(),
            iat,
            orig: Identifier::Number(orig),
            dest: vec![Identifier::Number(dest)],
            attest: Some(attest),
            origid: Some(origid.into()),
        }
    }

    /// Header and claims in base64url, with a dot between them: what is signed. Members are in lexicographic order, without
    /// white space (RFC 8225, section 9).
    pub(crate) fn signing_input(&self) -> String {
        let header =
            HeaderJson { alg: ES256, ppt: self.ppt.name(), typ: PASSPORT, x5u: self.x5u.as_ref().into() };
        let number = |identifier: &Identifier| match identifier {
            Identifier::Number(number) => Some(number.as_str().to_owned()),
            Identifier::Uri(_) => None,
        };
        let uri = |identifier: &Identifier| match identifier {
            Identifier::Uri(uri) => Some(uri.to_string()),
            Identifier::Number(_) => None,
        };
        let claims = ClaimsJson {
            attest: self.attest,
            dest: ManyJson {
                tn: self.dest.iter().filter_map(number).collect(),
                uri: self.dest.iter().filter_map(uri).collect(),
            },
            iat: self.iat,
            orig: OneJson { tn: number(&self.orig), uri: uri(&self.orig) },
            origid: self.origid.as_deref().map(str::to_owned),
        };
        format!("{}.{}", encoded(&header), encoded(&claims))
    }

    /// Reads header and claims as they stand in a token.
    pub(crate) fn read(header: &str, claims: &str) -> Result<Self, Fault> {
        let (header, claims) = (decoded(header)?, decoded(claims)?);
        let header: HeaderJson<'_> = serde_json::from_slice(&header).map_err(|_| Fault::Malformed)?;
        if header.alg != ES256 {
            return Err(Fault::Algorithm);
        }
        if header.typ != PASSPORT {
            return Err(Fault::Malformed);
        }
        let ppt = Ppt::named(header.ppt).ok_or(Fault::Missing)?;
        let claims: ClaimsJson = serde_json::from_slice(&claims).map_err(|_| Fault::Malformed)?;
        let number =
            |text: &String| TelephoneNumber::exactly(text).map(Identifier::Number).ok_or(Fault::Malformed);
        let uri = |text: &String| Identifier::Uri(text.as_str().into());
        let orig = match (&claims.orig.tn, &claims.orig.uri) {
            (Some(text), None) => number(text)?,
            (None, Some(text)) => uri(text),
            _ => return Err(Fault::Malformed),
        };
        let mut dest: Vec<Identifier> = claims.dest.tn.iter().map(number).collect::<Result<_, _>>()?;
        dest.extend(claims.dest.uri.iter().map(uri));
        let shaken = ppt == Ppt::Shaken;
        if dest.is_empty() || shaken && (claims.attest.is_none() || claims.origid.is_none()) {
            return Err(Fault::Malformed);
        }
        Ok(Self {
            ppt,
            x5u: header.x5u.into(),
            iat: claims.iat,
            orig,
            dest,
            attest: claims.attest.filter(|_| shaken),
            origid: claims.origid.filter(|_| shaken).map(Into::into),
        })
    }
}

/// The members stand in lexicographic order, as serde writes them.
#[derive(Serialize, Deserialize)]
struct HeaderJson<'a> {
    alg: &'a str,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ppt: Option<&'a str>,
    typ: &'a str,
    x5u: std::borrow::Cow<'a, str>,
}

#[derive(Serialize, Deserialize)]
struct ClaimsJson {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    attest: Option<Attestation>,
    dest: ManyJson,
    iat: u64,
    orig: OneJson,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    origid: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct ManyJson {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    tn: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    uri: Vec<String>,
}

#[derive(Serialize, Deserialize)]
struct OneJson {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tn: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    uri: Option<String>,
}

fn encoded(value: &impl Serialize) -> String {
    // Text and numbers only: JSON can always say them.
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(value).unwrap_or_default())
}

pub(crate) fn decoded(text: &str) -> Result<Vec<u8>, Fault> {
    URL_SAFE_NO_PAD.decode(text).map_err(|_| Fault::Malformed)
}

/// The one algorithm of RFC 8225, section 6.
pub(crate) const ES256: &str = "ES256";
const PASSPORT: &str = "passport";
const SHAKEN: &str = "shaken";
