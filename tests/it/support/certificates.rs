//! Certificates of nobody, for listeners with TLS.

use std::path::PathBuf;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

/// The path of a file of the certificates.
pub(crate) fn pem(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/kafka/tls")).join(name)
}

/// The certificates of a file.
pub(crate) fn chain_of(name: &str) -> Vec<CertificateDer<'static>> {
    let certificates = CertificateDer::pem_file_iter(pem(name)).unwrap();
    certificates.map(Result::unwrap).collect()
}
