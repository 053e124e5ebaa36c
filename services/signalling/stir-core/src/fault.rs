//! Why a caller's number is not proved.

use sidetone_model::classify::IdentityFault;

/// Why a caller's number is not proved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Fault {
    /// There is no Identity header of a kind that we understand.
    #[error("there is no PASSporT for the caller")]
    Missing,
    /// The header, or the PASSporT in it, is malformed.
    #[error("the Identity header is malformed")]
    Malformed,
    /// Not signed with ES256 (RFC 8225, section 6).
    #[error("the PASSporT is not signed with ES256")]
    Algorithm,
    /// The certificate's address is none, differs within the header, or nothing can be had from it.
    #[error("the certificate cannot be had")]
    Info,
    /// What is there is no certificate with a P-256 key, or no authority that we trust stands behind it.
    #[error("the certificate is not trusted")]
    Certificate,
    /// The certificate says nothing of telephone numbers, or not of this one (RFC 8226, section 9).
    #[error("the certificate is not good for the number")]
    Authority,
    /// Signed too long ago, or in the future.
    #[error("the PASSporT is not fresh")]
    Stale,
    /// It was signed for another caller.
    #[error("the PASSporT is of another caller")]
    OtherCaller,
    /// It was signed for a call to somebody else.
    #[error("the PASSporT is for another callee")]
    OtherCallee,
    /// The signature is not the certificate's.
    #[error("the signature is wrong")]
    Signature,
}

impl Fault {
    /// Every fault, for tables and tests.
    pub const ALL: [Self; 10] = [
        Self::Missing,
        Self::Malformed,
        Self::Algorithm,
        Self::Info,
        Self::Certificate,
        Self::Authority,
        Self::Stale,
        Self::OtherCaller,
        Self::OtherCallee,
        Self::Signature,
    ];

    /// A stable short word: the metric label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Malformed => "malformed",
            Self::Algorithm => "algorithm",
            Self::Info => "info",
            Self::Certificate => "certificate",
            Self::Authority => "authority",
            Self::Stale => "stale",
            Self::OtherCaller => "other_caller",
            Self::OtherCallee => "other_callee",
            Self::Signature => "signature",
        }
    }

    /// What RFC 8224, section 6.2.2, has for it.
    pub fn identity_fault(self) -> IdentityFault {
        match self {
            Self::Missing => IdentityFault::Missing,
            Self::Stale => IdentityFault::Stale,
            Self::Info => IdentityFault::BadInfo,
            Self::Algorithm | Self::Certificate | Self::Authority => IdentityFault::UnsupportedCredential,
            Self::Malformed | Self::OtherCaller | Self::OtherCallee | Self::Signature => {
                IdentityFault::Invalid
            }
        }
    }
}
