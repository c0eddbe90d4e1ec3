//! The organizations that the services know: as many as there are tokens. Each has records of its own.

use std::borrow::Cow;

use chrono::{DateTime, Utc};

use super::api::Api;
use super::feed::Feed;
use super::http::ServiceRequest;
use super::minted_token::MintedToken;
use super::rate_limit::RateCounter;
use super::yandex::ORGANIZATION;

/// What the services keep of one organization.
pub(super) struct Tenant {
    /// The records of each service, by its number.
    pub(super) feeds: Vec<Feed>,
    pub(super) rate_counters: [RateCounter; Api::ALL.len()],
    pub(super) minted: MintedToken,
}

impl Tenant {
    pub(super) fn new(feeds: Vec<Feed>) -> Self {
        Self {
            feeds,
            rate_counters: Default::default(),
            minted: MintedToken::default(),
        }
    }

    /// Returns every record of a service, oldest first, with those that have appeared by `now`.
    pub(super) fn events(&mut self, api: Api, now: DateTime<Utc>) -> Vec<super::event::Event> {
        let feed = &mut self.feeds[api as usize];
        feed.advance(now);
        feed.events()
    }
}

/// Returns whose a request is, and what it is for a service that knows only the first one.
///
/// The token of the organization N is that of the first one with `~N` behind it, and its id N more. With the token of one and the
/// id of another nothing is found.
pub(super) fn tenant_of(request: &ServiceRequest) -> (u64, Cow<'_, ServiceRequest>) {
    let number = |token: &str| {
        let (token, number) = token.rsplit_once('~')?;
        Some((
            token.to_owned(),
            number.parse::<u64>().ok().filter(|number| *number > 0)?,
        ))
    };
    let Some((token, number)) = request.authorization.as_deref().and_then(number) else {
        return (0, Cow::Borrowed(request));
    };
    let own = ORGANIZATION.saturating_add(number).to_string();
    let first = ORGANIZATION.to_string();
    let parts = request.path.split('/').map(|part| match part {
        part if part == own => &first,
        // That of another one.
        part if part == first => "0",
        part => part,
    });
    let path = parts.collect::<Vec<_>>().join("/");
    let request = ServiceRequest {
        path,
        authorization: Some(token),
        ..request.clone()
    };
    (number, Cow::Owned(request))
}
