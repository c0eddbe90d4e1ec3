//! Policies (C2SP `tlog-policy`): which keys a verifier trusts.

use super::note::{KeyError, VerifierKey};
use super::quorum::Quorum;

/// The logs that a verifier trusts, and which witnesses have to have cosigned what they say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Policy {
    logs: Vec<VerifierKey>,
    quorum: Quorum,
}

/// What is wrong with a policy.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PolicyError {
    #[error("line {line}: {problem}")]
    Line { line: usize, problem: String },
    #[error("it has no line `quorum`: `quorum none` asks for no witness")]
    NoQuorum,
    #[error("it names no log: add a line `log` with the public key")]
    NoLog,
}

impl Policy {
    /// Reads a policy.
    ///
    /// # Errors
    /// If a line is not known, or what it asks for cannot be checked: then nothing would be proved.
    pub(crate) fn parse(text: &str) -> Result<Self, PolicyError> {
        let mut logs: Vec<VerifierKey> = Vec::new();
        let mut quorum = Quorum::default();
        for (number, line) in text.lines().enumerate() {
            let failed = |problem: String| PolicyError::Line {
                line: number + 1,
                problem,
            };
            let words: Vec<_> = line.split([' ', '\t']).filter(|word| !word.is_empty()).collect();
            match words[..] {
                [] => {}
                [first, ..] if first.starts_with('#') => {}
                ["log", key] | ["log", key, _] => logs.push(log(key, &logs).map_err(failed)?),
                _ => match quorum.read(&words) {
                    Some(read) => read.map_err(failed)?,
                    None => return Err(failed("it is not a line of a policy".to_owned())),
                },
            }
        }
        match (quorum.is_set(), logs.is_empty()) {
            (false, _) => Err(PolicyError::NoQuorum),
            (true, true) => Err(PolicyError::NoLog),
            (true, false) => Ok(Self { logs, quorum }),
        }
    }

    /// Returns the policy that trusts one log, as a file holds it.
    pub(crate) fn text(key: &VerifierKey) -> String {
        format!("# The log that is trusted: its public key, by which an auditor knows it.\nlog {key}\nquorum none\n")
    }

    /// Returns the keys of the logs.
    pub(crate) fn logs(&self) -> &[VerifierKey] {
        &self.logs
    }

    /// Returns which witnesses have to have cosigned.
    pub(crate) fn quorum(&self) -> &Quorum {
        &self.quorum
    }
}

fn log(key: &str, others: &[VerifierKey]) -> Result<VerifierKey, String> {
    let key = VerifierKey::parse(key).map_err(|error: KeyError| format!("the key cannot be used: {error}"))?;
    if others.iter().any(|other| other.is_same_key(&key)) {
        return Err("the same key stands in another line".to_owned());
    }
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::super::signer::Signer;
    use super::*;

    const KEY: &str = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";

    #[test]
    fn a_policy_names_the_logs_that_are_trusted() {
        let other = Signer::sample("example.org/audit");
        let text = format!(
            "# ours\n\n  log {KEY}\t https://example.com/foo \nquorum none\nlog {}\n",
            other.verifier()
        );
        let policy = Policy::parse(&text).unwrap();
        assert_eq!(
            policy.logs(),
            [VerifierKey::parse(KEY).unwrap(), other.verifier().clone()]
        );
        assert_eq!(
            Policy::parse(&Policy::text(other.verifier())).unwrap().logs(),
            [other.verifier().clone()]
        );
    }

    #[test]
    fn a_policy_that_cannot_be_kept_is_refused() {
        let log = format!("log {KEY}\n");
        let same = format!("{log}{log}quorum none\n");
        let table = [
            ("", "it has no line `quorum`: `quorum none` asks for no witness"),
            ("quorum none\n", "it names no log: add a line `log` with the public key"),
            (&log, "it has no line `quorum`: `quorum none` asks for no witness"),
            (&same, "line 2: the same key stands in another line"),
            (
                "witness w a+b+c\n",
                "line 1: the key cannot be used: it is not of the form <name>+<8 hexadecimal digits>+<base64>",
            ),
            ("quorum w\n", "line 1: no line above it defines w"),
            ("quorum none\nquorum none\n", "line 2: there is a second quorum"),
            ("lag a\n", "line 1: it is not a line of a policy"),
            (
                "log a\n",
                "line 1: the key cannot be used: it is not of the form <name>+<8 hexadecimal digits>+<base64>",
            ),
        ];
        for (text, expected) in table {
            assert_eq!(Policy::parse(text).unwrap_err().to_string(), expected, "{text}");
        }
    }
}
