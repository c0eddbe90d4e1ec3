//! Where to listen: an IP address and a port.

use std::net::SocketAddr;

/// Parses an address; the error shows the form.
pub(crate) fn listen_address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| expected(text))
}

fn expected(text: &str) -> String {
    let port = text.rsplit(':').next().and_then(|port| port.parse::<u16>().ok());
    match port {
        Some(port) => format!(
            "expected an IP address and a port, such as 127.0.0.1:{port} for programs of this machine alone, or 0.0.0.0:{port}"
        ),
        None => "expected an IP address and a port, such as 127.0.0.1:9464 or [::1]:9464".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_and_what_is_none_is_answered_with_the_form() {
        for text in ["127.0.0.1:9464", "[::1]:9464", "0.0.0.0:0"] {
            assert_eq!(listen_address(text).unwrap().to_string(), text);
        }
        for (text, form) in [
            ("localhost:1", "127.0.0.1:1 for"),
            ("8080", "127.0.0.1:8080 for"),
            (":8080", "0.0.0.0:8080"),
            ("127.0.0.1", "such as 127.0.0.1:9464 or [::1]:9464"),
            ("127.0.0.1:99999", "such as 127.0.0.1:9464"),
            ("", "such as 127.0.0.1:9464"),
        ] {
            let error = listen_address(text).unwrap_err();
            assert!(error.contains(form), "{text}: {error}");
        }
    }
}
