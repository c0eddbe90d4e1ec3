//! The authorization header: of the settings, whose file is read again when the service refuses it, or minted and renewed
//! before it expires.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::host::Share;
use crate::http::Http;
use crate::http::retry::AttemptError;
use crate::source::{Authorization, TokenRequest};

/// A minted token is renewed this long before it expires, so that it does not expire during a request.
const RENEWAL_MARGIN: Duration = Duration::from_secs(30);

/// The name of the minted tokens among the secrets of the run.
const MINTED: &str = "minted";

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
#[derive(Clone, Copy)]
pub(super) struct Minting<'a> {
    pub(super) http: &'a Http,
    pub(super) host: &'a Share,
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
            Authorization::Fixed(token) => return Ok(token.header()),
            Authorization::Minted(request) => request,
        };
        let mut minted = self.minted.lock().await;
        if let Some(token) = minted.as_ref().filter(|token| Instant::now() < token.renew_at) {
            return Ok(token.header.clone());
        }
        let mut token = mint(minting, request).await;
        if is_refused(&token) && reread(authorization).await {
            token = mint(minting, request).await;
        }
        let token = token.map_err(|failure| AttemptError::Token(Box::new(failure)))?;
        let value = token.header.clone();
        authorization.secret().secrets().note(MINTED, value.clone());
        *minted = Some(token);
        Ok(value)
    }

    /// Returns whether there is another token to try than the refused one: a new one is minted, unless another request has
    /// done that already, or the file of the token is read again.
    pub(super) async fn renew(&self, authorization: &Authorization, refused: &SecretString) -> bool {
        match authorization {
            Authorization::Minted(_) => {
                let mut minted = self.minted.lock().await;
                minted.take_if(|token| token.header.expose_secret() == refused.expose_secret());
                true
            }
            Authorization::Fixed(token) => {
                reread(authorization).await;
                token.header().expose_secret() != refused.expose_secret()
            }
        }
    }
}

/// Reads the file of a source's secret again, if it stands in one; returns whether the secret is another now.
pub(crate) async fn reread(authorization: &Authorization) -> bool {
    let secret = authorization.secret();
    let Some(file) = secret.file().cloned() else {
        return false;
    };
    // It ends only if the runtime does.
    let Ok(read) = tokio::task::spawn_blocking(move || file.read()).await else {
        return false;
    };
    secret.take(read)
}

fn is_refused<T>(result: &Result<T, AttemptError>) -> bool {
    matches!(result, Err(AttemptError::Status { status: 401, .. }))
}

async fn mint(minting: Minting<'_>, request: &TokenRequest) -> Result<Minted, AttemptError> {
    let _permit = minting.host.permit().await;
    minting.requests.fetch_add(1, Ordering::Relaxed);
    let body = (request.body)(&request.id, &request.secret.current())
        .ok_or_else(|| AttemptError::Transport("the login cannot be written as JSON".into()))?;
    let answer = minting.http.post_json(request.url.clone(), &body).await?;
    let token = (request.read)(&answer)?;
    let lifetime = Duration::from_secs(token.expires_in);
    // The service returns the same token until it expires, so the rest of its life may be shorter than the margin.
    let margin = RENEWAL_MARGIN.min(lifetime / 4);
    Ok(Minted {
        header: token.header,
        renew_at: Instant::now() + (lifetime - margin),
    })
}
