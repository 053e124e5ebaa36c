//! Certificates for telephone numbers (RFC 8226), and whom we trust to give them.

use std::time::Duration;

use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, SignatureVerificationAlgorithm, TrustAnchor, UnixTime};
use sidetone_model::time::Timestamp;
use webpki::{
    EndEntityCert, ExtendedKeyUsageValidator, KeyPurposeIdIter, anchor_from_trusted_cert, aws_lc_rs,
};
use x509_parser::certificate::X509Certificate;

use crate::tn_auth_list::TnAuthList;

/// A certificate cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// There is none.
    #[error("expected certificates in PEM, or one in DER")]
    Unreadable,
    /// Its key is no P-256 key.
    #[error("the certificate's key is not of the curve P-256")]
    NotP256,
    /// Neither provider nor numbers stand in it.
    #[error("the certificate has no TNAuthList (RFC 8226)")]
    NoTnAuthList,
    /// No chain leads to an authority that we trust, or one of its certificates is not good now.
    #[error("the certificate is not good: {0}")]
    Untrusted(webpki::Error),
}

/// The authorities that we trust.
#[derive(Debug, Default)]
pub struct Anchors(Vec<TrustAnchor<'static>>);

impl Anchors {
    /// Reads every certificate of a PEM file's bytes.
    ///
    /// # Errors
    /// When there is none, or one of them is none.
    pub fn from_pem(pem: &[u8]) -> Result<Self, CertificateError> {
        let certificates = pem_certificates(pem)?;
        let anchor = |der: &CertificateDer<'_>| {
            anchor_from_trusted_cert(der).map(|anchor| anchor.to_owned()).map_err(CertificateError::Untrusted)
        };
        certificates.iter().map(anchor).collect::<Result<_, _>>().map(Self)
    }
}

/// A certificate with those that lead from it to an authority.
#[derive(Clone)]
pub struct Chain {
    leaf: CertificateDer<'static>,
    between: Vec<CertificateDer<'static>>,
    public_key: Vec<u8>,
    list: TnAuthList,
    not_after: Timestamp,
}

impl std::fmt::Debug for Chain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Chain({} certificates, {:?})", self.between.len() + 1, self.list)
    }
}

impl Chain {
    /// Reads what stands under a certificate's URL: PEM with the chain behind the certificate, or the certificate in DER
    /// (RFC 8226, section 4).
    ///
    /// # Errors
    /// When it is neither, when the key is not of P-256, or when the certificate is not one for telephone numbers.
    pub fn parse(bytes: &[u8]) -> Result<Self, CertificateError> {
        let mut certificates = match bytes.first() {
            Some(0x30) => vec![CertificateDer::from(bytes.to_vec())],
            _ => pem_certificates(bytes)?,
        };
        if certificates.len() > CHAIN_MAX {
            return Err(CertificateError::Unreadable);
        }
        let leaf = certificates.remove(0);
        let (_, parsed) =
            x509_parser::parse_x509_certificate(&leaf).map_err(|_| CertificateError::Unreadable)?;
        let public_key = p256_key(&parsed).ok_or(CertificateError::NotP256)?;
        let list = tn_auth_list(&parsed).ok_or(CertificateError::NoTnAuthList)?;
        let seconds = u64::try_from(parsed.validity().not_after.timestamp()).unwrap_or(0);
        let not_after = Timestamp::from_millis(seconds.saturating_mul(1000));
        Ok(Self { public_key, list, not_after, leaf, between: certificates })
    }

    /// Whether an authority that we trust stands behind it now.
    ///
    /// # Errors
    /// When none does.
    pub fn verify(&self, anchors: &Anchors, now: Timestamp) -> Result<(), CertificateError> {
        let leaf = EndEntityCert::try_from(&self.leaf).map_err(CertificateError::Untrusted)?;
        let at = UnixTime::since_unix_epoch(Duration::from_millis(now.as_millis()));
        leaf.verify_for_usage(ALGORITHMS, &anchors.0, &self.between, at, AnyUsage, None, None)
            .map(drop)
            .map_err(CertificateError::Untrusted)
    }

    /// Which numbers it is good for.
    pub fn list(&self) -> &TnAuthList {
        &self.list
    }

    /// Until when it is good.
    pub fn not_after(&self) -> Timestamp {
        self.not_after
    }

    /// The point of the curve, uncompressed.
    pub(crate) fn public_key(&self) -> &[u8] {
        &self.public_key
    }
}

/// Certificates for telephone numbers have no purpose of their own (RFC 8226, section 5): none is asked for.
struct AnyUsage;

impl ExtendedKeyUsageValidator for AnyUsage {
    fn validate(&self, _: KeyPurposeIdIter<'_, '_>) -> Result<(), webpki::Error> {
        Ok(())
    }
}

fn pem_certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    all.ok().filter(|all| !all.is_empty()).ok_or(CertificateError::Unreadable)
}

fn p256_key(certificate: &X509Certificate<'_>) -> Option<Vec<u8>> {
    let key = certificate.public_key();
    let curve = key.algorithm.parameters.as_ref()?.as_oid().ok()?;
    (key.algorithm.algorithm.to_id_string() == EC_PUBLIC_KEY && curve.to_id_string() == P256)
        .then(|| key.subject_public_key.data.to_vec())
}

fn tn_auth_list(certificate: &X509Certificate<'_>) -> Option<TnAuthList> {
    let mut found =
        certificate.extensions().iter().filter(|extension| extension.oid.to_id_string() == TN_AUTH_LIST);
    let extension = found.next().filter(|_| found.next().is_none())?;
    TnAuthList::parse(extension.value)
}

/// Those of RFC 8226, section 5, and the next larger curve for authorities.
static ALGORITHMS: &[&dyn SignatureVerificationAlgorithm] = &[
    aws_lc_rs::ECDSA_P256_SHA256,
    aws_lc_rs::ECDSA_P256_SHA384,
    aws_lc_rs::ECDSA_P384_SHA256,
    aws_lc_rs::ECDSA_P384_SHA384,
];
const CHAIN_MAX: usize = 8;
/// RFC 5480, section 2.1.1.
const EC_PUBLIC_KEY: &str = "1.2.840.10045.2.1";
const P256: &str = "1.2.840.10045.3.1.7";
/// RFC 8226, section 11.1.
const TN_AUTH_LIST: &str = "1.3.6.1.5.5.7.1.26";
