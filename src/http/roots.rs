//! The root certificates of the system, in one file: a folder has one for each of them, and as many links.
//!
//! Imports: env.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use memchr::memmem;

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

/// What stands around a certificate in the PEM form (RFC 7468, section 5).
const BEGIN: &[u8] = b"-----BEGIN CERTIFICATE-----";
const END: &[u8] = b"-----END CERTIFICATE-----";

/// Returns all root certificates of the system, in the DER form; `None` if they are not in one file, or the environment names others.
pub(super) fn bundle() -> Option<Vec<Vec<u8>>> {
    if names_root_certificates() {
        return None;
    }
    let pem = BUNDLES.iter().find_map(|path| std::fs::read(Path::new(path)).ok())?;
    certificates(&pem).filter(|certificates| !certificates.is_empty())
}

/// Takes the certificates out of a file in the PEM form; `None` if one of them is odd. The parser of the client takes three times as
/// long, which was more than a run without news took for everything else.
fn certificates(mut pem: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut certificates = Vec::new();
    while let Some(begin) = memmem::find(pem, BEGIN) {
        pem = &pem[begin + BEGIN.len()..];
        let end = memmem::find(pem, END)?;
        let lines = pem[..end].split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
        let text: Vec<u8> = lines.collect::<Vec<_>>().concat();
        certificates.push(STANDARD.decode(text).ok()?);
        pem = &pem[end + END.len()..];
    }
    Some(certificates)
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject;

    use super::*;

    const PEM: &str = include_str!("../../tests/it/kafka/tls/ca.pem");

    #[test]
    fn certificates_are_those_that_a_parser_finds() {
        for pem in [
            PEM.to_owned(),
            format!("# The first\n{PEM}\n\u{e9}\n{}", PEM.replace('\n', "\r\n")),
            format!("-----BEGIN X509 CRL-----\nMIIB\n-----END X509 CRL-----\n{PEM}"),
            "no certificate".to_owned(),
        ] {
            let parsed = CertificateDer::pem_slice_iter(pem.as_bytes());
            let parsed: Vec<_> = parsed.map(|certificate| certificate.unwrap().to_vec()).collect();
            assert_eq!(certificates(pem.as_bytes()), Some(parsed), "{pem}");
        }
    }

    #[test]
    fn a_file_with_an_odd_one_is_left_to_the_parser() {
        let cut_off = &PEM[..PEM.len() / 2];
        for odd in [cut_off.to_owned(), PEM.replacen("MII", "M!I", 1)] {
            assert_eq!(certificates(odd.as_bytes()), None, "{odd}");
        }
    }
}
