//! The secrets of a run, which a service may repeat that another one was sent.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use secrecy::{ExposeSecret, SecretString};

/// How many of each are kept: the newest, and the one before it, which may still be under way.
const KEPT: usize = 2;

/// All secrets that were read of one environment, by the name of their variable, the newest last.
#[derive(Debug, Default)]
pub(crate) struct Secrets(Mutex<BTreeMap<String, Vec<SecretString>>>);

impl Secrets {
    /// Notes a secret; returns whether it is another than the newest under this name.
    pub(crate) fn note(&self, name: &str, secret: SecretString) -> bool {
        let mut all = self.all_named();
        let known = all.entry(name.to_owned()).or_default();
        let is_new = known
            .last()
            .is_none_or(|last| last.expose_secret() != secret.expose_secret());
        if is_new {
            known.push(secret);
            let surplus = known.len().saturating_sub(KEPT);
            known.drain(..surplus);
        }
        is_new
    }

    /// Returns the newest under a name.
    pub(super) fn newest(&self, name: &str) -> Option<SecretString> {
        self.all_named().get(name)?.last().cloned()
    }

    /// Returns all of them.
    pub(crate) fn all(&self) -> Vec<SecretString> {
        self.all_named().values().flatten().cloned().collect()
    }

    fn all_named(&self) -> MutexGuard<'_, BTreeMap<String, Vec<SecretString>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
