//! Gives the crate `object_store` the HTTP client of all other requests: its proxies, its authorities, its timeouts.

use async_trait::async_trait;
use http_body_util::BodyExt;
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService,
};

use crate::http::{ForeignError, Http};

/// Connects by the client of this program.
#[derive(Debug)]
pub(super) struct Connector(pub(super) Http);

#[derive(Debug)]
struct Service(Http);

impl HttpConnector for Connector {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(Service(self.0.clone())))
    }
}

#[async_trait]
impl HttpService for Service {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let (head, body) = request.into_parts();
        // A part is in one piece already.
        let body = body.collect().await?.to_bytes();
        let response = self.0.exchange_foreign(http::Request::from_parts(head, body)).await;
        Ok(response.map_err(failed)?.map(Into::into))
    }
}

fn failed(error: ForeignError) -> HttpError {
    let kind = if error.is_unsent {
        HttpErrorKind::Connect
    } else {
        HttpErrorKind::Interrupted
    };
    HttpError::new(kind, error)
}
