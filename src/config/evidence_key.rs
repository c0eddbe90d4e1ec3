//! The settings of evidence that say where its key is: in a file, with systemd, in an ssh-agent, or on another host.

use std::path::PathBuf;

use crate::env::{ConfigErrors, DefaultValue, Env, InvalidValue, Row, Scope, Setting, Variable, folder, text};

/// What a value begins with that names a credential of systemd.
const CREDENTIAL: &str = "credential:";

pub(crate) const EVIDENCE_KEY_FILE: Setting<KeySource> = Setting {
    variable: Variable {
        name: "EVIDENCE_KEY_FILE",
        scope: Scope::Program,
        default: DefaultValue::None,
        example: Some("/etc/trailkeeper/evidence.key"),
        doc: "The file with the key that signs the log, which `trailkeeper evidence keygen` writes; or `credential:NAME`, which systemd \
              gives to the service with `LoadCredential=NAME:/path`.",
    },
    parse: key_file,
};

pub(crate) const EVIDENCE_KEY_AGENT: Setting<KeySource> = Setting {
    variable: Variable {
        name: "EVIDENCE_KEY_AGENT",
        scope: Scope::Program,
        default: DefaultValue::None,
        example: Some("SHA256:1hw2Yq8oH1vWlBCkYDUnXRWUQHwMHhUFCDqiKrsMTGg"),
        doc: "In place of `EVIDENCE_KEY_FILE`: the fingerprint, as `ssh-add -l` shows it, of an ssh-ed25519 key in the ssh-agent behind \
              `SSH_AUTH_SOCK`. Use that key for nothing else.",
    },
    parse: fingerprint,
};

pub(crate) const EVIDENCE_PUBLIC_KEY: Setting<KeySource> = Setting {
    variable: Variable {
        name: "EVIDENCE_PUBLIC_KEY",
        scope: Scope::Program,
        default: DefaultValue::None,
        example: Some("audit.example.org/trails+7a4cd1fd+AcZNLL4ePVL0dvb6zQJrolxXsNP6uuxl3Vam/xquVd0i"),
        doc: "In place of `EVIDENCE_KEY_FILE`: the public key, where the key itself is on another host, which signs with `trailkeeper evidence \
              sign`.",
    },
    parse: |value| Ok(KeySource::Elsewhere(text(value)?)),
};

/// Where the key is that signs the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum KeySource {
    /// In a file of ours.
    File(PathBuf),
    /// In a file that systemd has made for this process, with this name: it is only read.
    Credential(String),
    /// In an ssh-agent, with this fingerprint.
    Agent(String),
    /// On another host: this is the public key.
    Elsewhere(String),
}

impl KeySource {
    /// Reads where the key is; `None` if nothing says it, or after an error.
    pub(super) fn read(env: &Env, errors: &mut ConfigErrors) -> Option<Self> {
        let all = [&EVIDENCE_KEY_FILE, &EVIDENCE_KEY_AGENT, &EVIDENCE_PUBLIC_KEY];
        let mut set = all.into_iter().filter(|setting| env.is_set(*setting));
        let (first, second) = (set.next()?, set.next());
        if let Some(second) = second {
            let problem = format!("must not be set beside {}: one key signs", first.name());
            errors.add(second.name(), problem);
            return None;
        }
        env.optional(first, errors)
    }

    /// Checks that this process has what leads to the key.
    pub(super) fn check_way(&self, env: &Env, errors: &mut ConfigErrors) {
        if matches!(self, Self::Credential(_)) && env.credentials_folder().is_none() {
            let problem = "names a credential of systemd, and CREDENTIALS_DIRECTORY is not set: LoadCredential= in the unit of the \
                           service sets it";
            errors.add(EVIDENCE_KEY_FILE.name(), problem.to_owned());
        }
        if matches!(self, Self::Agent(_)) && env.ssh_agent().is_none() {
            let problem = "names a key in an ssh-agent, and SSH_AUTH_SOCK, which leads to one, is not set";
            errors.add(EVIDENCE_KEY_AGENT.name(), problem.to_owned());
        }
    }
}

fn key_file(value: &str) -> Result<KeySource, InvalidValue> {
    let Some(name) = value.strip_prefix(CREDENTIAL) else {
        return Ok(KeySource::File(folder(value)?));
    };
    let name = text(name)?;
    if name.is_empty() || name.contains('/') || name.starts_with('.') {
        return Err(InvalidValue::must_shown(
            "name a credential as LoadCredential= does, such as `credential:evidence_key`",
        ));
    }
    Ok(KeySource::Credential(name))
}

fn fingerprint(value: &str) -> Result<KeySource, InvalidValue> {
    let is_base64 = |c: char| c.is_ascii_alphanumeric() || c == '+' || c == '/';
    match value.strip_prefix("SHA256:") {
        Some(hash) if hash.len() == 43 && hash.chars().all(is_base64) => Ok(KeySource::Agent(value.to_owned())),
        _ => Err(InvalidValue::must_shown(
            "be a fingerprint as `ssh-add -l` shows it, `SHA256:` and 43 characters",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_in_a_file_a_credential_or_an_agent() {
        let print = "SHA256:1hw2Yq8oH1vWlBCkYDUnXRWUQHwMHhUFCDqiKrsMTGg";
        let table = [
            (key_file("/k"), Some(KeySource::File("/k".into()))),
            (key_file("credential:k"), Some(KeySource::Credential("k".to_owned()))),
            (key_file("credential:"), None),
            (key_file("credential:../k"), None),
            (key_file("credential:a/k"), None),
            (fingerprint(print), Some(KeySource::Agent(print.to_owned()))),
            (fingerprint(&print[7..]), None),
            (fingerprint(&print[..49]), None),
            (fingerprint("MD5:00:11"), None),
        ];
        for (read, expected) in table {
            assert_eq!(read.ok(), expected);
        }
    }
}
