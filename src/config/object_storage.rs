//! The settings of object storage, by the names that its services have given them; read only by `copy`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use url::Url;

use super::limits::{MAX_RETRIES, REQUEST_TIMEOUT_SECONDS, RETRY_DELAY_SECONDS};
use super::proxies;
use crate::env::{
    ConfigErrors, DefaultValue, Env, Row, Scope, Secret, Secrets, Setting, Variable, address, folder, text, token,
};
use crate::http::Proxies;

/// The variables, in the order of the documents.
pub(super) const ROWS: &[&dyn Row] = &[
    &AWS_ACCESS_KEY_ID,
    &AWS_SECRET_ACCESS_KEY,
    &AWS_SESSION_TOKEN,
    &AWS_REGION,
    &AWS_ENDPOINT_URL,
    &AZURE_STORAGE_ACCOUNT_NAME,
    &AZURE_STORAGE_ACCOUNT_KEY,
    &AZURE_STORAGE_SAS_TOKEN,
    &AZURE_TENANT_ID,
    &AZURE_CLIENT_ID,
    &AZURE_CLIENT_SECRET,
    &GOOGLE_APPLICATION_CREDENTIALS,
];

const AWS_ACCESS_KEY_ID: Setting<String> = Setting {
    variable: Variable {
        name: "AWS_ACCESS_KEY_ID",
        scope: Scope::Program,
        default: DefaultValue::None,
        example: None,
        doc: "S3: the id of the access key. Without it the role of the machine counts, as AWS gives it.",
    },
    parse: text,
};

const AWS_SECRET_ACCESS_KEY: Secret = Secret {
    variable: Variable {
        name: "AWS_SECRET_ACCESS_KEY",
        scope: Scope::Program,
        default: DefaultValue::None,
        example: None,
        doc: "S3: the secret of the access key.",
    },
    check: token,
};

const AWS_SESSION_TOKEN: Secret = Secret {
    variable: Variable {
        name: "AWS_SESSION_TOKEN",
        scope: Scope::Program,
        default: DefaultValue::None,
        example: None,
        doc: "S3: the token of an access key that ends by itself.",
    },
    check: token,
};

const AWS_REGION: Setting<String> = Setting {
    variable: Variable {
        name: "AWS_REGION",
        scope: Scope::Program,
        default: DefaultValue::Text("us-east-1"),
        example: None,
        doc: "S3: the region of the bucket; `ru-central1` for Yandex Object Storage.",
    },
    parse: text,
};

const AWS_ENDPOINT_URL: Setting<Url> = Setting {
    variable: Variable {
        name: "AWS_ENDPOINT_URL",
        scope: Scope::Program,
        default: DefaultValue::None,
        example: Some("https://storage.yandexcloud.net"),
        doc: "S3: the address of a service that is not AWS.",
    },
    parse: address,
};

const AZURE_STORAGE_ACCOUNT_NAME: Setting<String> = Setting {
    variable: Variable {
        name: "AZURE_STORAGE_ACCOUNT_NAME",
        scope: Scope::Program,
        default: DefaultValue::None,
        example: None,
        doc: "Azure: the storage account.",
    },
    parse: text,
};

const AZURE_STORAGE_ACCOUNT_KEY: Secret = Secret {
    variable: Variable {
        name: "AZURE_STORAGE_ACCOUNT_KEY",
        scope: Scope::Program,
        default: DefaultValue::None,
        example: None,
        doc: "Azure: its key.",
    },
    check: token,
};

const AZURE_STORAGE_SAS_TOKEN: Secret = Secret {
    variable: Variable {
        name: "AZURE_STORAGE_SAS_TOKEN",
        scope: Scope::Program,
        default: DefaultValue::None,
        example: None,
        doc: "Azure: a shared access signature instead of a key.",
    },
    check: token,
};

const AZURE_TENANT_ID: Setting<String> = Setting {
    variable: Variable {
        name: "AZURE_TENANT_ID",
        scope: Scope::Program,
        default: DefaultValue::None,
        example: None,
        doc: "Azure: the tenant of an application that may use the account, instead of a key.",
    },
    parse: text,
};

const AZURE_CLIENT_ID: Setting<String> = Setting {
    variable: Variable {
        name: "AZURE_CLIENT_ID",
        scope: Scope::Program,
        default: DefaultValue::None,
        example: None,
        doc: "Azure: the id of that application.",
    },
    parse: text,
};

const AZURE_CLIENT_SECRET: Secret = Secret {
    variable: Variable {
        name: "AZURE_CLIENT_SECRET",
        scope: Scope::Program,
        default: DefaultValue::None,
        example: None,
        doc: "Azure: its secret.",
    },
    check: token,
};

const GOOGLE_APPLICATION_CREDENTIALS: Setting<PathBuf> = Setting {
    variable: Variable {
        name: "GOOGLE_APPLICATION_CREDENTIALS",
        scope: Scope::Program,
        default: DefaultValue::None,
        example: Some("/etc/trailkeeper/google.json"),
        doc: "Google Cloud Storage: the file of a service account. Without it the role of the machine counts.",
    },
    parse: folder,
};

/// How to reach object storage, whichever it is.
#[cfg_attr(
    not(feature = "object-storage"),
    expect(dead_code, reason = "there is no object storage")
)]
#[derive(Clone, Debug)]
pub(crate) struct ObjectStorageSettings {
    /// `AWS_ACCESS_KEY_ID`, and the secret that belongs to it.
    pub(crate) access_key: Option<String>,
    pub(crate) access_secret: Option<SecretString>,
    /// `AWS_SESSION_TOKEN`.
    pub(crate) session_token: Option<SecretString>,
    /// `AWS_REGION`.
    pub(crate) region: String,
    /// `AWS_ENDPOINT_URL`.
    pub(crate) endpoint: Option<Url>,
    /// `AZURE_STORAGE_ACCOUNT_NAME`, and its key or signature.
    pub(crate) account: Option<String>,
    pub(crate) account_key: Option<SecretString>,
    pub(crate) signature: Option<SecretString>,
    /// `AZURE_TENANT_ID`, `AZURE_CLIENT_ID` and the secret that belongs to it.
    pub(crate) tenant: Option<String>,
    pub(crate) application: Option<String>,
    pub(crate) application_secret: Option<SecretString>,
    /// `GOOGLE_APPLICATION_CREDENTIALS`.
    pub(crate) google_file: Option<PathBuf>,
    /// How often a request is retried; `MAX_RETRIES`.
    pub(crate) max_retries: u32,
    /// The wait before the first retry; `RETRY_DELAY_SECONDS`.
    pub(crate) retry_delay: Duration,
    /// How long a request may take; `REQUEST_TIMEOUT_SECONDS`.
    pub(crate) timeout: Duration,
    /// Through which proxies.
    pub(crate) proxies: Proxies,
    /// All secrets of the run, which a service may repeat.
    pub(crate) secrets: Arc<Secrets>,
}

impl ObjectStorageSettings {
    /// Reads the settings; `None` after an error.
    pub(crate) fn read(env: &Env, errors: &mut ConfigErrors) -> Option<Self> {
        let mut own_errors = ConfigErrors::because("copies are in object storage");
        let settings = Self::read_all(env, &mut own_errors).filter(|_| own_errors.is_empty());
        errors.append(own_errors);
        settings
    }

    fn read_all(env: &Env, errors: &mut ConfigErrors) -> Option<Self> {
        let access_key = env.optional(&AWS_ACCESS_KEY_ID, errors);
        let mut secret = |row: &Secret| {
            let is_set = env.has_secret(row);
            is_set.then(|| env.secret(row, errors)).flatten()
        };
        let (access_secret, session_token) = (secret(&AWS_SECRET_ACCESS_KEY), secret(&AWS_SESSION_TOKEN));
        let (account_key, signature) = (secret(&AZURE_STORAGE_ACCOUNT_KEY), secret(&AZURE_STORAGE_SAS_TOKEN));
        let application_secret = secret(&AZURE_CLIENT_SECRET);
        let region = env.or_default(&AWS_REGION, errors);
        let max_retries = env.or_default(&MAX_RETRIES, errors);
        let retry_delay = env.or_default(&RETRY_DELAY_SECONDS, errors);
        let timeout = env.or_default(&REQUEST_TIMEOUT_SECONDS, errors);
        Some(Self {
            access_key,
            access_secret,
            session_token,
            endpoint: env.optional(&AWS_ENDPOINT_URL, errors),
            account: env.optional(&AZURE_STORAGE_ACCOUNT_NAME, errors),
            account_key,
            signature,
            tenant: env.optional(&AZURE_TENANT_ID, errors),
            application: env.optional(&AZURE_CLIENT_ID, errors),
            application_secret,
            google_file: env.optional(&GOOGLE_APPLICATION_CREDENTIALS, errors),
            proxies: proxies::read(env, errors),
            secrets: Arc::clone(env.secrets()),
            region: region?,
            max_retries: max_retries?,
            retry_delay: retry_delay?,
            timeout: timeout?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_read_and_never_shown() {
        let pairs = [
            ("AWS_ACCESS_KEY_ID", "AKIA7"),
            ("AWS_SECRET_ACCESS_KEY", "hunter2-hunter2"),
            ("AZURE_STORAGE_SAS_TOKEN", "sv=2024&sig=swordfish"),
        ];
        let mut errors = ConfigErrors::default();
        let settings = ObjectStorageSettings::read(&Env::from_pairs(pairs), &mut errors).unwrap();
        let shown = format!("{settings:?}");
        assert!(!shown.contains("hunter2") && !shown.contains("swordfish"), "{shown}");
        assert_eq!(settings.secrets.all().len(), 2);
        assert_eq!(settings.region, "us-east-1");
    }

    #[test]
    fn an_address_that_is_not_encrypted_is_for_this_machine_alone() {
        let mut errors = ConfigErrors::default();
        let env = Env::from_pairs([("AWS_ENDPOINT_URL", "http://minio.example.org:9000")]);
        assert!(ObjectStorageSettings::read(&env, &mut errors).is_none());
        assert!(errors.to_string().contains("https://"), "{errors}");
    }
}
