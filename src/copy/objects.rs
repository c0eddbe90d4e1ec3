//! Copies in object storage: S3 and what is compatible with it, Azure, Google. The only file that knows which is which.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::TryStreamExt;
use object_store::aws::{AmazonS3Builder, Checksum};
use object_store::azure::{MicrosoftAzureBuilder, split_sas};
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::path::Path;
use object_store::{BackoffConfig, Error, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutOptions, RetryConfig};
use percent_encoding::percent_decode_str;
use secrecy::{ExposeSecret, SecretString};
use tokio::runtime::Handle;

use super::address::Service;
use super::connector::Connector;
use super::store::{Put, Store, StoreError};
use crate::config::ObjectStorageSettings;
use crate::env::Secrets;
use crate::http::Http;
use crate::http::redaction::without_any;

/// The longest wait between two attempts.
const LONGEST_WAIT: Duration = Duration::from_secs(15);

/// No attempt begins later than this after the first one: signatures end.
const LONGEST: Duration = Duration::from_secs(180);

/// The most that is shown of what a service says, in characters.
const LONGEST_TEXT: usize = 400;

/// A place in a bucket.
pub(super) struct Objects {
    store: Arc<dyn ObjectStore>,
    prefix: Path,
    /// On which its requests are waited for, by threads that may block.
    runtime: Handle,
    /// Whether it is known that it has no conditional writing.
    has_no_conditions: AtomicBool,
    secrets: Arc<Secrets>,
    /// What is to be set, if nothing says who may write there.
    advice: Option<&'static str>,
}

impl fmt::Debug for Objects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Objects").field(&self.prefix).finish()
    }
}

impl Objects {
    /// Returns a place in a bucket; nothing is asked yet.
    pub(super) fn new(
        service: Service,
        bucket: &str,
        prefix: &str,
        settings: &ObjectStorageSettings,
        runtime: Handle,
    ) -> Result<Self, StoreError> {
        let http = Http::new(&settings.proxies).map_err(|error| StoreError::new(error.to_string()))?;
        let connector = Connector(http.with_timeout(settings.timeout));
        let store = match service {
            Service::S3 => s3(bucket, settings, connector),
            Service::Azure => azure(bucket, settings, connector),
            Service::Google => google(bucket, settings, connector),
        };
        let advice = advice(service, settings);
        let shown = |error: Error| StoreError::new(told(&error, &settings.secrets, advice));
        Ok(Self {
            store: store.map_err(shown)?,
            prefix: Path::from(prefix),
            runtime,
            has_no_conditions: AtomicBool::new(false),
            secrets: Arc::clone(&settings.secrets),
            advice,
        })
    }

    fn path(&self, name: &str) -> Path {
        let below = Path::from(name);
        self.prefix.parts().chain(below.parts()).collect()
    }

    /// Returns the name of an object that was listed.
    fn name(&self, path: &Path) -> Option<String> {
        let below: Vec<_> = path.prefix_match(&self.prefix)?.collect();
        let names = below
            .iter()
            .map(|part| percent_decode_str(part.as_ref()).decode_utf8().ok());
        Some(names.collect::<Option<Vec<_>>>()?.join("/"))
    }

    fn wait<T>(&self, doing: &str, name: &str, work: impl Future<Output = Result<T, Error>>) -> Result<T, StoreError> {
        let done = self.runtime.block_on(work);
        done.map_err(|error| {
            let told = told(&error, &self.secrets, self.advice);
            StoreError::new(format!("cannot {doing} {name}: {told}"))
        })
    }

    /// Writes an object on condition that there is none; `None` if the service knows no conditions.
    async fn put_new(&self, path: &Path, bytes: &Bytes) -> Result<Option<Put>, Error> {
        let options = PutOptions::from(PutMode::Create);
        match self.store.put_opts(path, bytes.clone().into(), options).await {
            Ok(_) => Ok(Some(Put::Written)),
            Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => Ok(Some(Put::Exists)),
            Err(error) if has_no_conditions(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn put_after_looking(&self, path: &Path, bytes: Bytes) -> Result<Put, Error> {
        match self.store.head(path).await {
            Ok(_) => return Ok(Put::Exists),
            Err(Error::NotFound { .. }) => {}
            Err(error) => return Err(error),
        }
        self.store.put(path, bytes.into()).await?;
        Ok(Put::Written)
    }
}

impl Store for Objects {
    fn list(&self, folder: &str) -> Result<BTreeMap<String, u64>, StoreError> {
        let path = self.path(folder);
        let found: Vec<ObjectMeta> = self.wait("list", folder, self.store.list(Some(&path)).try_collect())?;
        let named = found
            .into_iter()
            .filter_map(|object| Some((self.name(&object.location)?, object.size)));
        Ok(named.collect())
    }

    fn get(&self, name: &str) -> Result<Option<Bytes>, StoreError> {
        let path = self.path(name);
        self.wait("read", name, async {
            match self.store.get(&path).await {
                Ok(found) => found.bytes().await.map(Some),
                Err(Error::NotFound { .. }) => Ok(None),
                Err(error) => Err(error),
            }
        })
    }

    fn put(&self, name: &str, bytes: Bytes) -> Result<Put, StoreError> {
        let path = self.path(name);
        self.wait("write", name, async {
            if !self.has_no_conditions.load(Ordering::Relaxed) {
                if let Some(put) = self.put_new(&path, &bytes).await? {
                    return Ok(put);
                }
                self.has_no_conditions.store(true, Ordering::Relaxed);
            }
            self.put_after_looking(&path, bytes).await
        })
    }
}

/// Says what is to be set where nothing is that says who asks.
fn advice(service: Service, settings: &ObjectStorageSettings) -> Option<&'static str> {
    let has_key = match service {
        Service::S3 => settings.access_key.is_some() && settings.access_secret.is_some(),
        Service::Azure => {
            let has_key = settings.account_key.is_some() || settings.signature.is_some();
            settings.account.is_some() && (has_key || settings.application_secret.is_some())
        }
        Service::Google => settings.google_file.is_some(),
    };
    let advice = match service {
        Service::S3 => {
            "no key is set, so that the role of this machine was to count: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or \
             give it a role that may use the bucket"
        }
        Service::Azure => {
            "no account with a key is set: set AZURE_STORAGE_ACCOUNT_NAME, and AZURE_STORAGE_ACCOUNT_KEY, AZURE_STORAGE_SAS_TOKEN, or \
             AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET"
        }
        Service::Google => {
            "no service account is set, so that the role of this machine was to count: set GOOGLE_APPLICATION_CREDENTIALS, or give \
             it a role that may use the bucket"
        }
    };
    (!has_key).then_some(advice)
}

/// Returns what has failed, and what is to be set.
fn told(error: &Error, secrets: &Secrets, advice: Option<&'static str>) -> String {
    let advice = advice.map_or_else(String::new, |advice| format!("; {advice}"));
    shown(error, secrets) + &advice
}

fn exposed(secret: Option<&SecretString>) -> Option<String> {
    secret.map(|secret| secret.expose_secret().to_owned())
}

fn retries(settings: &ObjectStorageSettings) -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig {
            init_backoff: settings.retry_delay.min(LONGEST_WAIT),
            max_backoff: LONGEST_WAIT,
            base: 2.0,
        },
        max_retries: settings.max_retries as usize,
        retry_timeout: LONGEST,
    }
}

type Built = Result<Arc<dyn ObjectStore>, Error>;

fn s3(bucket: &str, settings: &ObjectStorageSettings, connector: Connector) -> Built {
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(bucket)
        .with_region(&settings.region)
        .with_retry(retries(settings))
        .with_http_connector(connector)
        .with_checksum_algorithm(Checksum::SHA256);
    if let Some(endpoint) = &settings.endpoint {
        builder = builder
            .with_endpoint(endpoint.as_str().trim_end_matches('/'))
            .with_allow_http(endpoint.scheme() == "http");
    }
    if let Some(key) = &settings.access_key {
        builder = builder.with_access_key_id(key);
    }
    if let Some(secret) = exposed(settings.access_secret.as_ref()) {
        builder = builder.with_secret_access_key(secret);
    }
    if let Some(token) = exposed(settings.session_token.as_ref()) {
        builder = builder.with_token(token);
    }
    Ok(Arc::new(builder.build()?))
}

fn azure(container: &str, settings: &ObjectStorageSettings, connector: Connector) -> Built {
    let mut builder = MicrosoftAzureBuilder::new()
        .with_container_name(container)
        .with_retry(retries(settings))
        .with_http_connector(connector);
    if let Some(account) = &settings.account {
        builder = builder.with_account(account);
    }
    if let Some(key) = exposed(settings.account_key.as_ref()) {
        builder = builder.with_access_key(key);
    }
    if let Some(signature) = exposed(settings.signature.as_ref()) {
        builder = builder.with_sas_authorization(split_sas(&signature)?);
    }
    if let (Some(tenant), Some(application), Some(secret)) = (
        &settings.tenant,
        &settings.application,
        exposed(settings.application_secret.as_ref()),
    ) {
        builder = builder.with_client_secret_authorization(application, secret, tenant);
    }
    Ok(Arc::new(builder.build()?))
}

fn google(bucket: &str, settings: &ObjectStorageSettings, connector: Connector) -> Built {
    let mut builder = GoogleCloudStorageBuilder::new()
        .with_bucket_name(bucket)
        .with_retry(retries(settings))
        .with_http_connector(connector);
    if let Some(file) = &settings.google_file {
        builder = builder.with_service_account_path(file.to_string_lossy());
    }
    Ok(Arc::new(builder.build()?))
}

/// Whether a service says that it has no conditional writing.
fn has_no_conditions(error: &Error) -> bool {
    let is_unknown = |text: &str| text.contains("501") || text.contains("NotImplemented");
    match error {
        Error::NotImplemented { .. } | Error::NotSupported { .. } => true,
        error => is_unknown(&error.to_string()),
    }
}

/// What a service says, on one line and without what nobody is to read.
fn shown(error: &Error, secrets: &Secrets) -> String {
    let text = without_any(&error.to_string(), &secrets.all());
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match text.char_indices().nth(LONGEST_TEXT) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::{ConfigErrors, Env};

    #[test]
    fn where_nothing_says_who_asks_it_is_said_what_to_set() {
        const SECRET: &str = "swordfish-swordfish";
        let none: &[(&str, &str)] = &[];
        let s3 = [("AWS_ACCESS_KEY_ID", "AKIA7"), ("AWS_SECRET_ACCESS_KEY", SECRET)];
        let azure = [
            ("AZURE_STORAGE_ACCOUNT_NAME", "copies"),
            ("AZURE_STORAGE_ACCOUNT_KEY", SECRET),
        ];
        let google = [("GOOGLE_APPLICATION_CREDENTIALS", "/etc/google.json")];
        for (service, pairs, expected) in [
            (Service::S3, none, Some("AWS_SECRET_ACCESS_KEY")),
            (Service::S3, &s3[..1], Some("AWS_SECRET_ACCESS_KEY")),
            (Service::S3, &s3[..], None),
            (Service::Azure, none, Some("AZURE_STORAGE_ACCOUNT_NAME")),
            (Service::Azure, &azure[..1], Some("AZURE_STORAGE_SAS_TOKEN")),
            (Service::Azure, &azure[..], None),
            (Service::Google, none, Some("GOOGLE_APPLICATION_CREDENTIALS")),
            (Service::Google, &google[..], None),
        ] {
            let env = Env::from_pairs(pairs.iter().copied());
            let settings = ObjectStorageSettings::read(&env, &mut ConfigErrors::default()).unwrap();
            let advice = advice(service, &settings);
            let is_as_expected = match (advice, expected) {
                (Some(advice), Some(expected)) => advice.contains(expected),
                (advice, expected) => advice.is_none() && expected.is_none(),
            };
            assert!(is_as_expected, "{pairs:?}: {advice:?}");
            let error = Error::NotImplemented {
                operation: "list".to_owned(),
                implementer: SECRET.to_owned(),
            };
            let told = told(&error, &settings.secrets, advice);
            assert_eq!(told.contains("; no "), expected.is_some(), "{told}");
            assert!(pairs.len() < 2 || !told.contains(SECRET), "{told}");
        }
    }
}
