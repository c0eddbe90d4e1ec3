//! The authorization header: fixed, or minted and renewed before it expires.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::host::Host;
use crate::http::Http;
use crate::http::redaction::{bare, without};
use crate::http::retry::AttemptError;
use crate::source::{Authorization, TokenRequest};

/// A minted token is renewed this long before it expires, so that it does not expire during a request.
const RENEWAL_MARGIN: Duration = Duration::from_secs(30);

/// The current token of a source that mints one.
#[derive(Debug, Default)]
pub(super) struct Credentials {
    minted: Mutex<Option<Minted>>,
}

#[derive(Debug)]
struct Minted {
    header: SecretString,
    renew_at: Instant,
}

/// What minting a token needs.
pub(super) struct Minting<'a> {
    pub(super) http: &'a Http,
    pub(super) host: &'a Host,
    pub(super) requests: &'a AtomicU64,
}

impl Credentials {
    /// Returns the header to send; mints a token if there is none or it expires soon.
    pub(super) async fn header(
        &self,
        authorization: &Authorization,
        minting: Minting<'_>,
    ) -> Result<SecretString, AttemptError> {
        let request = match authorization {
            Authorization::Fixed(value) => {
                return Ok(value.clone());
            }
            Authorization::Minted(request) => request,
        };
        let mut minted = self.minted.lock().await;
        if let Some(token) = minted.as_ref().filter(|token| Instant::now() < token.renew_at) {
            return Ok(token.header.clone());
        }
        let token = mint(minting, request).await;
        let token = token.map_err(|failure| AttemptError::Token(Box::new(failure)))?;
        let value = token.header.clone();
        *minted = Some(token);
        Ok(value)
    }

    /// Removes the secrets that were sent to the service from a text of it, in case it repeats them.
    pub(super) async fn conceal(&self, authorization: &Authorization, text: &str) -> String {
        match authorization {
            Authorization::Fixed(header) => without(text, bare(header)),
            Authorization::Minted(request) => {
                let text = without(text, request.secret.expose_secret());
                match self.minted.lock().await.as_ref() {
                    Some(token) => without(&text, bare(&token.header)),
                    None => text,
                }
            }
        }
    }

    /// Forgets a refused token, so that the next request mints one, unless another request has replaced it already.
    pub(super) async fn forget(&self, refused: &SecretString) {
        let mut minted = self.minted.lock().await;
        minted.take_if(|token| token.header.expose_secret() == refused.expose_secret());
    }
}

async fn mint(minting: Minting<'_>, request: &TokenRequest) -> Result<Minted, AttemptError> {
    let _permit = minting.host.permit().await;
    minting.requests.fetch_add(1, Ordering::Relaxed);
    let answer = minting.http.post_json(request.url.clone(), &request.body).await?;
    let token = (request.read)(&answer)?;
    let lifetime = Duration::from_secs(token.expires_in);
    // The service returns the same token until it expires, so the rest of its life may be shorter than the margin.
    let margin = RENEWAL_MARGIN.min(lifetime / 4);
    Ok(Minted {
        header: token.header,
        renew_at: Instant::now() + (lifetime - margin),
    })
}
