//! The proxies that requests go through, and what one says that does not connect.

use std::fmt;
use std::io;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use url::{Host, Url};
use zeroize::Zeroizing;

/// How long a proxy that refused to connect may take to say it once more.
const PATIENCE: Duration = Duration::from_secs(5);

/// A status line is far shorter.
const LONGEST_STATUS_LINE: u64 = 1024;

/// On these systems the client finds the proxies of the system, where the settings name none.
pub(super) const SYSTEM_HAS_PROXIES: bool = cfg!(any(target_os = "macos", windows));

/// The proxies of the settings.
#[derive(Clone, Debug, Default)]
pub struct Proxies {
    /// For `http://`.
    pub(crate) http: Option<Proxy>,
    /// For `https://`, through CONNECT.
    pub(crate) https: Option<Proxy>,
    /// The hosts that are reached without one, as the client reads them: names, addresses, networks, or `*`.
    pub(crate) except: String,
}

impl Proxies {
    pub(super) fn is_empty(&self) -> bool {
        self.http.is_none() && self.https.is_none()
    }

    /// Returns whether a request to an address that is not encrypted can be so all the same, on its way to a proxy.
    pub(super) fn may_be_encrypted(&self) -> bool {
        let proxy = self.http.as_ref().and_then(|proxy| proxy.address.url());
        // Of those that the client finds by itself nothing is known.
        self.is_empty() && SYSTEM_HAS_PROXIES || proxy.is_some_and(|proxy| proxy.scheme() == "https")
    }

    /// Returns the hosts that are reached without a proxy: this machine always, since only there a secret may go unencrypted; for
    /// the client, `*` alone does not count for addresses.
    pub(super) fn hosts_without(&self) -> String {
        let is_all = self.except.split(',').any(|host| host.trim() == "*");
        if is_all {
            "*,0.0.0.0/0,::/0".to_owned()
        } else {
            format!("localhost,127.0.0.0/8,::1,{}", self.except)
        }
    }
}

/// One proxy.
#[derive(Clone, Debug)]
pub(crate) struct Proxy {
    /// The variable that names it.
    pub(crate) variable: String,
    pub(crate) address: ProxyAddress,
}

/// `http://user:password@proxy:3128`; `Debug` does not show it.
#[derive(Clone)]
pub(crate) struct ProxyAddress(SecretString);

/// What an address of a proxy has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ProxyAddressError {
    #[error("be the address of a proxy, such as `http://proxy.example.org:3128`")]
    Form,
    #[error("be the address of a proxy with `http://` or `https://`; SOCKS is not supported")]
    Socks,
}

impl ProxyAddress {
    /// Reads an address; one without a scheme is `http://`. The client takes a proxy that it cannot use for none, and sends its
    /// requests directly: so only what it can use is taken here.
    pub(crate) fn parse(text: &str) -> Result<Self, ProxyAddressError> {
        if text
            .chars()
            .any(|character| character.is_whitespace() || character.is_control())
        {
            return Err(ProxyAddressError::Form);
        }
        let text = Zeroizing::new(if text.contains("://") {
            text.to_owned()
        } else {
            format!("http://{text}")
        });
        let url = Url::parse(&text).map_err(|_| ProxyAddressError::Form)?;
        match url.scheme() {
            "http" | "https" if has_usable_host(&url) => Ok(Self(String::from(url).into())),
            "socks" | "socks4" | "socks4a" | "socks5" | "socks5h" => Err(ProxyAddressError::Socks),
            _ => Err(ProxyAddressError::Form),
        }
    }

    /// Returns the password, as it stands in the address.
    pub(crate) fn password(&self) -> Option<SecretString> {
        self.url()?.password().map(SecretString::from)
    }

    /// Returns the address, with the user and the password.
    pub(super) fn url(&self) -> Option<Url> {
        Url::parse(self.0.expose_secret()).ok()
    }
}

impl fmt::Debug for ProxyAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ProxyAddress(…)")
    }
}

/// Returns whether the client, which parses the address once more and differently, takes this host too.
fn has_usable_host(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.')),
        Some(Host::Ipv4(_) | Host::Ipv6(_)) => true,
        None => false,
    }
}

/// What a proxy answered to CONNECT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reply {
    Status(u16),
    NoHttp,
    /// It could not be asked, or said nothing.
    Unknown,
}

impl Reply {
    /// Reads the beginning of a reply.
    fn read(start: &[u8]) -> Self {
        let line = start.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let words = std::str::from_utf8(line).ok().and_then(|line| line.split_once(' '));
        let status = words.and_then(|(version, rest)| {
            let digits = version.starts_with("HTTP/1.").then(|| rest.get(..3))??;
            digits.parse().ok().filter(|status| (100..=999).contains(status))
        });
        match status {
            Some(status) => Reply::Status(status),
            None if start.is_empty() => Reply::Unknown,
            None => Reply::NoHttp,
        }
    }
}

impl Proxy {
    /// Returns what the failure of a request means in which the client speaks of a tunnel; `None` if it does not. A proxy that
    /// refused to connect is asked once more, since the client keeps no status of it but 407.
    pub(super) async fn meaning(
        &self,
        failure: &str,
        target: Option<&Url>,
        authorization: Option<&str>,
    ) -> Option<String> {
        let (_, tunnel) = failure.split_once("tunnel error: ")?;
        if let Some(reason) = tunnel.strip_prefix("failed to create underlying connection") {
            return Some(format!("the proxy of {} could not be reached{reason}", self.variable));
        }
        let reply = match tunnel {
            "proxy authorization required" => Reply::Status(407),
            "unsuccessful" => self.ask_again(target?, authorization).await,
            "unexpected end of file" => Reply::Unknown,
            _ => return None,
        };
        Some(self.refusal(reply, authorization.is_some()))
    }

    async fn ask_again(&self, target: &Url, authorization: Option<&str>) -> Reply {
        let asked = tokio::time::timeout(PATIENCE, self.ask(target, authorization)).await;
        asked.ok().and_then(Result::ok).unwrap_or(Reply::Unknown)
    }

    /// Asks for a connection to the target, and reads the status line of the reply. One that is reached by TLS is not asked.
    async fn ask(&self, target: &Url, authorization: Option<&str>) -> io::Result<Reply> {
        let proxy = self.address.url().filter(|url| url.scheme() == "http");
        let (Some(proxy), Some(target)) = (proxy.as_ref().and_then(authority), authority(target)) else {
            return Ok(Reply::Unknown);
        };
        let mut request = Zeroizing::new(format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n"));
        if let Some(authorization) = authorization {
            request.extend(["Proxy-Authorization: ", authorization, "\r\n"]);
        }
        request.push_str("\r\n");
        let mut stream = TcpStream::connect(proxy).await?;
        stream.write_all(request.as_bytes()).await?;
        let (mut start, mut stream) = (Vec::new(), stream.take(LONGEST_STATUS_LINE));
        while !start.contains(&b'\n') && stream.read_buf(&mut start).await? > 0 {}
        Ok(Reply::read(&start))
    }

    fn refusal(&self, reply: Reply, has_user: bool) -> String {
        let variable = &self.variable;
        match reply {
            Reply::Unknown => "the proxy refused to CONNECT to this host, without a reason: its own log has it".into(),
            Reply::NoHttp => {
                format!("the proxy's answer to CONNECT is not HTTP: {variable} may be the address of something else")
            }
            Reply::Status(200) => "the proxy refused to CONNECT to this host, and took the next attempt".into(),
            Reply::Status(status) => {
                let meaning = match status {
                    407 if has_user => format!("it refused the user and the password of {variable}"),
                    407 => {
                        format!("it asks for a user and a password, as in {variable}=http://user:password@proxy:3128")
                    }
                    403 => "it does not allow this host".into(),
                    502..=504 => "it could not reach this host, or is overloaded".into(),
                    _ => "its own log has the reason".into(),
                };
                format!("the proxy answered {status} to CONNECT: {meaning}")
            }
        }
    }
}

/// Returns `host:port`.
fn authority(url: &Url) -> Option<String> {
    Some(format!("{}:{}", url.host_str()?, url.port_or_known_default()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_address_that_the_client_can_use_is_taken() {
        for (text, expected) in [
            ("http://proxy.example.org:3128", "http://proxy.example.org:3128/"),
            ("proxy.example.org:3128", "http://proxy.example.org:3128/"),
            ("user:p%40ss@proxy", "http://user:p%40ss@proxy/"),
            ("https://proxy_1.example.org/path", "https://proxy_1.example.org/path"),
            ("http://192.0.2.1:8080", "http://192.0.2.1:8080/"),
            ("http://[2001:db8::1]:8080", "http://[2001:db8::1]:8080/"),
        ] {
            let address = ProxyAddress::parse(text).unwrap();
            assert_eq!(address.url().unwrap().as_str(), expected);
            assert!(!format!("{address:?}").contains("proxy"));
        }
        for text in [
            "",
            " ",
            "http://[bad",
            "foo bar",
            "http://",
            "htp://x:1",
            "http://pro\txy",
            "http://proxy:99999",
            "://",
            "a\"b",
            "http://{x}",
            " http://proxy",
        ] {
            assert_eq!(ProxyAddress::parse(text).err(), Some(ProxyAddressError::Form), "{text}");
        }
        for text in [
            "socks5://proxy:1080",
            "socks5h://proxy",
            "socks4://proxy",
            "socks://proxy:1080/",
        ] {
            assert_eq!(
                ProxyAddress::parse(text).err(),
                Some(ProxyAddressError::Socks),
                "{text}"
            );
        }
    }

    #[test]
    fn the_status_of_a_reply_is_read_from_its_first_line() {
        for (start, expected) in [
            ("HTTP/1.1 403 Forbidden\r\nA: b\r\n", Reply::Status(403)),
            ("HTTP/1.0 502\r\n", Reply::Status(502)),
            ("HTTP/1.1 403", Reply::Status(403)),
            ("SSH-2.0-OpenSSH_9.2\r\n", Reply::NoHttp),
            ("HTTP/1.1 abc\r\n", Reply::NoHttp),
            ("HTTP/1.1 é\r\n", Reply::NoHttp),
            ("HTTP/1.1 099\r\n", Reply::NoHttp),
            ("\r\n", Reply::NoHttp),
            ("", Reply::Unknown),
        ] {
            assert_eq!(Reply::read(start.as_bytes()), expected, "{start}");
        }
    }
}
