//! TLS to brokers and devices: whom to trust, and what was wrong with a certificate, in words and with the mend.
//!
//! One stack: rustls with ring's cryptography, named explicitly, so that nothing hangs on what else is linked. Trusted
//! are the authorities of the file that the configuration names, and nobody else.

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};
use std::path::Path;
use std::sync::Arc;
use stowage_base::Timestamp;

/// Why a file of authorities can't be used.
#[derive(Debug, thiserror::Error)]
pub enum CaError {
    /// It can't be read.
    #[error("can't be read: {0}")]
    Read(std::io::Error),
    /// It is no PEM.
    #[error("is no PEM file ({0:?}): give the authority's certificate, between BEGIN CERTIFICATE and END CERTIFICATE")]
    Pem(pem::Error),
    /// There is none in it.
    #[error("has no certificate in it: give the authority's, which begins with BEGIN CERTIFICATE")]
    Empty,
    /// One of them is none.
    #[error("has a certificate that can't be understood, the {nth}. of them: {why}")]
    Certificate {
        /// Counts from 1.
        nth: usize,
        /// What is wrong with it.
        why: Error,
    },
    /// The library refuses its own defaults.
    #[error("TLS can't be set up: {0}")]
    Setup(Error),
}

/// How to speak TLS (1.2 or 1.3) with servers that one of the authorities in the PEM file `ca` vouches for.
///
/// # Errors
/// The file can't be used: why, with the mend, to be said behind its name.
pub fn client(ca: &Path) -> Result<Arc<ClientConfig>, CaError> {
    let (roots, _) = roots(ca)?;
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().map_err(CaError::Setup)?;
    Ok(Arc::new(builder.with_root_certificates(roots).with_no_client_auth()))
}

/// As [`client`], for devices that make their certificates themselves: one that is in the file is trusted as it is,
/// whatever name is in it.
///
/// # Errors
/// The file can't be used: why, with the mend, to be said behind its name.
pub(crate) fn pinned(ca: &Path) -> Result<Arc<ClientConfig>, CaError> {
    let (roots, pins) = roots(ca)?;
    let provider = Arc::new(ring::default_provider());
    let others = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build();
    let others = others.map_err(|why| CaError::Setup(Error::General(why.to_string())))?;
    let builder = ClientConfig::builder_with_provider(provider);
    let builder = builder.with_safe_default_protocol_versions().map_err(CaError::Setup)?;
    let verifier = Arc::new(Pinned { pins, others });
    Ok(Arc::new(builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth()))
}

/// The certificates of a PEM file, at least one: as authorities, and as they are.
fn roots(ca: &Path) -> Result<(RootCertStore, Vec<CertificateDer<'static>>), CaError> {
    let unread = |error| match error {
        pem::Error::Io(error) => CaError::Read(error),
        other => CaError::Pem(other),
    };
    let (mut roots, mut all) = (RootCertStore::empty(), Vec::new());
    for certificate in CertificateDer::pem_file_iter(ca).map_err(unread)? {
        let nth = roots.len() + 1;
        let certificate = certificate.map_err(unread)?;
        roots.add(certificate.clone()).map_err(|why| CaError::Certificate { nth, why })?;
        all.push(certificate);
    }
    if roots.is_empty() {
        return Err(CaError::Empty);
    }
    Ok((roots, all))
}

/// Trusts a certificate that is known, octet for octet; any other as far as an authority vouches for it.
#[derive(Debug)]
struct Pinned {
    pins: Vec<CertificateDer<'static>>,
    others: Arc<WebPkiServerVerifier>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if self.pins.contains(certificate) {
            return Ok(ServerCertVerified::assertion());
        }
        self.others.verify_server_cert(certificate, intermediates, name, ocsp, now)
    }

    // That it holds the key is checked in either case.
    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.others.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.others.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.others.supported_verify_schemes()
    }
}

/// What `error` means, and the mend. `host` is what was dialled, `ca` who is trusted.
pub(crate) fn words(error: &Error, host: &str, ca: &Path) -> String {
    let day = |time: &UnixTime| {
        let seconds = i64::try_from(time.as_secs()).unwrap_or(i64::MAX / 1_000_000);
        let day = Timestamp::from_micros(seconds.saturating_mul(1_000_000)).to_string();
        day.split('T').next().unwrap_or_default().to_owned()
    };
    let ca = ca.display();
    match error {
        Error::InvalidCertificate(why) => match why {
            CertificateError::ExpiredContext { not_after, .. } => {
                format!(
                    "its certificate expired on {}: have a new one made, or set this machine's clock",
                    day(not_after)
                )
            }
            CertificateError::Expired => {
                "its certificate has expired: have a new one made, or set this machine's clock".into()
            }
            CertificateError::NotValidYetContext { not_before, .. } => {
                let from = day(not_before);
                format!("its certificate is valid from {from} on: set this machine's clock, or the one of its maker")
            }
            CertificateError::NotValidForNameContext { presented, .. } => {
                // They come as DnsName("broker") or IpAddress(10.0.0.1).
                let bare = |name: &String| match name.split_once('(') {
                    Some((_, name)) => name.trim_matches(['"', '(', ')']).to_owned(),
                    None => name.clone(),
                };
                let names = presented.iter().map(bare).collect::<Vec<_>>().join(", ");
                let names = if names.is_empty() { "no name at all" } else { &names };
                format!(
                    "its certificate is made for {names}, not for {host}: give such a name in `url`, or have the certificate made for {host}"
                )
            }
            CertificateError::NotValidForName => {
                format!("its certificate is not made for {host}: give a name from it in `url`")
            }
            CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                format!(
                    "its certificate comes from an authority that {ca} doesn't hold: give that authority's certificate as `ca`"
                )
            }
            // webpki's name for it; rustls has none.
            CertificateError::Other(other) if other.to_string() == "CaUsedAsEndEntity" => {
                "its certificate is an authority's own: have one made for the broker, signed by that authority".into()
            }
            other => format!("its certificate is not accepted: {other}"),
        },
        Error::AlertReceived(AlertDescription::CertificateRequired | AlertDescription::HandshakeFailure) => {
            "it ends the TLS handshake: if it wants a certificate from its clients, let it ask for a password instead"
                .into()
        }
        Error::InvalidMessage(_) => {
            "it doesn't speak TLS at this port: mostly that is 8883; or give mqtt:// without TLS".into()
        }
        other => format!("TLS: {other}"),
    }
}
