//! The root certificates of the system, in one file: a folder has one for each of them, and as many links.
//!
//! Imports: env.

use std::path::Path;

use crate::env::names_root_certificates;

/// Where distributions put all root certificates in one file; none elsewhere.
const BUNDLES: &[&str] = if cfg!(target_os = "linux") {
    &[
        "/etc/ssl/certs/ca-certificates.crt",
        "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
        "/etc/pki/tls/certs/ca-bundle.crt",
        "/etc/ssl/ca-bundle.pem",
        "/etc/ssl/cert.pem",
    ]
} else {
    &[]
};

/// Returns the file of all root certificates, in the PEM form; `None` if there is none, or the environment names others.
pub(super) fn bundle() -> Option<Vec<u8>> {
    if names_root_certificates() {
        return None;
    }
    BUNDLES.iter().find_map(|path| std::fs::read(Path::new(path)).ok())
}
