//! Asks the witnesses that have an address (C2SP `tlog-witness`): before a seal, whether they have seen more than is here, or another
//! history, and after it to cosign what is new.

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::task::JoinSet;
use url::Url;

use crate::config::{EVIDENCE_WITNESS_POLICY, EvidenceSettings, WitnessSettings};
use crate::env::{Row, endpoint, is_loopback};
use crate::evidence::folder::Folder;
use crate::evidence::last_checkpoint::Signed;
use crate::evidence::note::VerifierKey;
use crate::evidence::policy::Policy;
use crate::evidence::refusal::Refusal;
use crate::evidence::submission::{Submission, cosigned_size};
use crate::fs::read_to_string;
use crate::http::retry::AttemptError;
use crate::http::{Http, Post, Proxies};
use crate::process::exit::Exit;

/// How long a witness may take for an answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// How often a witness is asked in a row, each time from where it says that it is.
const TRIES: u32 = 4;

/// Somebody who cosigns when asked.
#[derive(Clone, Debug)]
struct Witness {
    key: VerifierKey,
    url: Url,
}

/// Which witnesses are not asked any more in this seal: they gave no cosignature before it, and would not after it.
#[derive(Debug, Default)]
pub(super) struct Silent {
    names: BTreeSet<String>,
}

impl Silent {
    fn is(&self, witness: &Witness) -> bool {
        self.names.contains(witness.key.name())
    }
}

/// Why nothing is sealed, or cosigned.
#[derive(Debug, thiserror::Error)]
pub(super) enum AskError {
    #[error("{name} cannot be used: {0}", name = EVIDENCE_WITNESS_POLICY.name())]
    Policy(String),
    #[error(
        "the witness {witness} has seen another history: {problem}; nothing is signed, since that would make a second history: restore \
         the folder of the evidence from its newest copy"
    )]
    OtherHistory { witness: String, problem: String },
    #[error("interrupted while the witnesses were asked: nothing is signed")]
    Ended(Exit),
    #[error("--url {0}")]
    Address(String),
    #[error("{witness} gives no cosignature: {problem}")]
    NoCosignature { witness: String, problem: String },
    #[error(
        "{witness} has seen another history: {problem}; if this is an old copy, take a newer one, and else ask the owner of the log"
    )]
    Refuses { witness: String, problem: String },
}

/// What came of asking a witness.
#[derive(Debug)]
enum Answer {
    /// It has cosigned the newest checkpoint, which it had not before, or had.
    Cosigned {
        size: u64,
        is_new: bool,
    },
    /// There is no checkpoint yet.
    Nothing,
    /// It could not be asked, or gives none: the next seal asks again.
    Silent(String),
    OtherHistory(String),
}

/// Asks all witnesses for a cosignature of the newest checkpoint that is there, so that a log which was put back to an earlier state is
/// not added to.
///
/// # Errors
/// If one of them has seen another history, or it cannot be told whom to ask.
pub(super) async fn ask(settings: &EvidenceSettings, now: DateTime<Utc>) -> Result<Silent, AskError> {
    match &settings.witnesses {
        Some(of) => ask_each(settings, of, (&Silent::default(), true), now).await,
        None => Ok(Silent::default()),
    }
}

/// Asks those witnesses to cosign what a seal has added that have not cosigned it, and gave an answer before.
///
/// # Errors
/// If one of them has seen another history.
pub(super) async fn submit(settings: &EvidenceSettings, silent: &Silent, now: DateTime<Utc>) -> Result<(), AskError> {
    match &settings.witnesses {
        Some(of) => ask_each(settings, of, (silent, false), now).await.map(drop),
        None => Ok(()),
    }
}

async fn ask_each(
    settings: &EvidenceSettings,
    of: &WitnessSettings,
    (silent, even_if_cosigned): (&Silent, bool),
    now: DateTime<Utc>,
) -> Result<Silent, AskError> {
    let witnesses = witnesses(of, &policy(of)?)?;
    let http = Http::to(witnesses.iter().map(|witness| &witness.url), &of.proxies);
    let http = http.map_err(|error| AskError::Policy(error.to_string()))?;
    let mut asked = JoinSet::new();
    for witness in witnesses.into_iter().filter(|witness| !silent.is(witness)) {
        let (folder, http) = (Folder::new(&settings.folder), http.with_timeout(TIMEOUT));
        asked.spawn(async move {
            let answer = witness.cosign(&folder, &http, even_if_cosigned).await;
            (witness, answer)
        });
    }
    let (mut silent, mut other) = (Silent::default(), None);
    while let Some(Ok((witness, answer))) = asked.join_next().await {
        let name = witness.key.name().to_owned();
        answer.note(&Folder::new(&settings.folder), &witness.key, now);
        match answer {
            Answer::Nothing | Answer::Cosigned { is_new: false, .. } => {}
            Answer::Cosigned { size, .. } => tracing::info!(entries = size, witness = name, "cosigned"),
            Answer::Silent(problem) => {
                tracing::warn!("no cosignature from {name}, the next seal asks again: {problem}");
                silent.names.insert(name);
            }
            Answer::OtherHistory(problem) => other = Some(AskError::OtherHistory { witness: name, problem }),
        }
    }
    other.map_or(Ok(silent), Err)
}

/// Reads the policy that names whom to ask.
///
/// # Errors
/// If it cannot be used: then nothing is sealed.
pub(super) fn usable_policy(of: &WitnessSettings) -> Result<Policy, AskError> {
    let policy = policy(of)?;
    witnesses(of, &policy)?;
    Ok(policy)
}

fn policy(of: &WitnessSettings) -> Result<Policy, AskError> {
    let text = read_to_string(&of.policy).map_err(|error| AskError::Policy(error.to_string()))?;
    let of_policy = |error| AskError::Policy(format!("the policy {}: {error}", of.policy.display()));
    Policy::parse(&text).map_err(of_policy)
}

/// Returns whom to ask by a policy.
fn witnesses(of: &WitnessSettings, policy: &Policy) -> Result<Vec<Witness>, AskError> {
    let shown = of.policy.display();
    let witness = |(key, address): (&VerifierKey, &str)| {
        let url = add_checkpoint(address);
        let url = url.map_err(|problem| {
            AskError::Policy(format!("the policy {shown}: the address of {} {problem}", key.name()))
        })?;
        Ok(Witness { key: key.clone(), url })
    };
    let witnesses: Vec<_> = policy.quorum().addresses().map(witness).collect::<Result<_, _>>()?;
    if witnesses.is_empty() {
        return Err(AskError::Policy(format!(
            "the policy {shown} names no witness with an address: `witness NAME KEY https://...`"
        )));
    }
    Ok(witnesses)
}

/// Returns where checkpoints are submitted below the prefix of a witness, or what is wrong with that.
fn add_checkpoint(prefix: &str) -> Result<Url, &'static str> {
    let no_url = || "is no URL such as `https://w1.example/`";
    let url = endpoint(prefix).ok().filter(|url| url.query().is_none());
    let mut url = url.ok_or_else(no_url)?;
    // Nobody on the way may say that the witness has seen another history.
    if url.scheme() == "http" && !is_loopback(&url) {
        return Err("must begin with `https://` (`http://` is for loopback hosts only)");
    }
    let mut path = url.path_segments_mut().map_err(|()| no_url())?;
    path.pop_if_empty().push("add-checkpoint");
    drop(path);
    Ok(url)
}

impl Answer {
    /// Notes in the folder that the witness refuses, or that it does so no more.
    fn note(&self, folder: &Folder, witness: &VerifierKey, now: DateTime<Utc>) {
        let noted = match self {
            Self::Cosigned { .. } => Refusal::end(folder, witness),
            Self::OtherHistory(problem) => Refusal::note(folder, witness, problem, now),
            Self::Nothing | Self::Silent(_) => Ok(()),
        };
        if let Err(error) = noted {
            tracing::error!("what {} has said is not noted: {error}", witness.name());
        }
    }
}

impl Witness {
    /// Asks for a cosignature of the newest checkpoint, and keeps it.
    async fn cosign(&self, folder: &Folder, http: &Http, even_if_cosigned: bool) -> Answer {
        let mut submission = match Submission::newest(folder) {
            Ok(Some(submission)) => submission,
            Ok(None) => return Answer::Nothing,
            Err(error) => return Answer::Silent(error.to_string()),
        };
        let known = submission.cosigned_by(&self.key);
        if known == submission.size() && !even_if_cosigned {
            return Answer::Nothing;
        }
        // Another run may have sealed meanwhile.
        let newest = || Submission::newest(folder).ok().flatten();
        let text = match asked(&self.url, http, &mut submission, (known, newest)).await {
            Ok(text) => text,
            Err(answer) => return answer,
        };
        match submission.keep(folder, &self.key, &text) {
            Ok(is_new) => Answer::Cosigned {
                size: submission.size(),
                is_new,
            },
            Err(error) => Answer::Silent(error.to_string()),
        }
    }
}

/// Asks one witness by hand, at its address, for a cosignature of a log of which a copy is here.
///
/// # Errors
/// If it has seen another history, or gives none by a key of the policy.
pub(super) async fn cosigned_at(
    address: &str,
    mut submission: Submission,
    policy: &Policy,
    proxies: &Proxies,
) -> Result<Signed, AskError> {
    let silent = |problem: String| AskError::NoCosignature {
        witness: address.to_owned(),
        problem,
    };
    let url = add_checkpoint(address).map_err(|problem| AskError::Address(problem.to_owned()))?;
    let http = Http::to([&url], proxies).map_err(|error| AskError::Address(error.to_string()))?;
    let witnesses = || policy.quorum().witnesses();
    if witnesses().next().is_none() {
        return Err(silent(
            "the policy has no line `witness` with its public key".to_owned(),
        ));
    }
    let known = witnesses().map(|witness| submission.cosigned_by(witness)).max();
    let http = http.with_timeout(TIMEOUT);
    match asked(&url, &http, &mut submission, (known.unwrap_or(0), || None)).await {
        Ok(text) => submission
            .cosigned(witnesses(), &text)
            .ok_or_else(|| silent("the answer has none by a witness of the policy".to_owned())),
        Err(Answer::OtherHistory(problem)) => Err(AskError::Refuses {
            witness: address.to_owned(),
            problem,
        }),
        Err(Answer::Silent(problem)) => Err(silent(problem)),
        Err(Answer::Nothing | Answer::Cosigned { .. }) => Err(silent("it says nothing".to_owned())),
    }
}

/// Asks for a cosignature of a checkpoint, or of a newer one if the witness has seen more, from where the witness is: first from what it
/// has cosigned last, as far as that is known. Returns what it answers.
async fn asked(
    url: &Url,
    http: &Http,
    submission: &mut Submission,
    (known, newest): (u64, impl Fn() -> Option<Submission>),
) -> Result<String, Answer> {
    let mut old = known;
    // From where it was asked when it answered 409 without a size.
    let mut denied = None;
    for _ in 0..TRIES {
        if old > submission.size() {
            match newest() {
                Some(newer) if newer.size() >= old => *submission = newer,
                _ => return Err(ahead(old, submission.size())),
            }
        }
        let error = match post(url, http, submission.request(old)).await {
            Ok(text) => return Ok(text),
            Err(error) => error,
        };
        let AttemptError::Status { status: 409, body, .. } = &error else {
            return Err(refused(&error, old));
        };
        match cosigned_size(body) {
            // So does a witness of version 1.0.0 where it holds as many other entries. From 0 it says how many it has.
            None if old > 0 && denied.is_none() => {
                denied = Some(old);
                old = 0;
            }
            None => {
                let problem =
                    "status 409, without the size that it has cosigned last: is this the address of a witness?";
                return Err(Answer::Silent(problem.to_owned()));
            }
            Some(size) if size > 0 && (size == old || Some(size) == denied) => return Err(denies(size)),
            Some(size) if size == old => {
                let problem =
                    format!("status 409, although it was asked from the {old} entries that it says it has cosigned");
                return Err(Answer::Silent(problem));
            }
            Some(size) => {
                if size < known {
                    tracing::warn!(
                        "the witness at {} has cosigned {known} entries, and says that it was {size}: it has lost what it knew, and would \
                         cosign another history; tell its owner",
                        url.host_str().unwrap_or_default()
                    );
                }
                old = size;
            }
        }
    }
    if old > submission.size() {
        return Err(ahead(old, submission.size()));
    }
    Err(Answer::Silent("it names another size each time".to_owned()))
}

async fn post(url: &Url, http: &Http, request: String) -> Result<String, AttemptError> {
    let post = Post {
        url: url.clone(),
        content_type: "text/plain; charset=utf-8",
        authorization: None,
        channel: None,
        body: request.into_bytes(),
    };
    let receipt = http.post(post).await?;
    Ok(String::from_utf8_lossy(&receipt.body).into_owned())
}

fn ahead(cosigned: u64, size: u64) -> Answer {
    Answer::OtherHistory(format!("it has cosigned {cosigned} entries, and the log has {size}"))
}

/// Says that a witness has so many entries, and does not cosign what has grown out of as many of this log. No other reason is left for
/// status 409 then: that of the same size has another root (C2SP `tlog-witness` 1.0.0; 422 in what followed), and of a larger one the
/// proof does not lead to what it has cosigned.
fn denies(size: u64) -> Answer {
    Answer::OtherHistory(format!(
        "it has cosigned {size} entries, and not these: asked from there it does not cosign (status 409)"
    ))
}

/// Says why a witness does not cosign.
fn refused(error: &AttemptError, old: u64) -> Answer {
    let AttemptError::Status { status, .. } = error else {
        return Answer::Silent(error.to_string());
    };
    match status {
        // Every log has grown out of one without entries, so that says nothing of this one.
        422 if old > 0 => Answer::OtherHistory(format!(
            "the first {old} entries are not those that it has cosigned (status 422)"
        )),
        404 => Answer::Silent(
            "it does not know this log, or is no witness (status 404): give its owner the name and the public key"
                .to_owned(),
        ),
        403 => Answer::Silent(
            "it does not know the key of this log (status 403): give its owner the public key".to_owned(),
        ),
        _ => Answer::Silent(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::add_checkpoint;

    #[test]
    fn checkpoints_are_submitted_below_the_prefix() {
        let url = |prefix: &str| add_checkpoint(prefix).map(String::from);
        let expected = Ok("https://w1.example/add-checkpoint".to_owned());
        assert_eq!(url("https://w1.example"), expected);
        assert_eq!(url("https://w1.example/"), expected);
        assert_eq!(
            url("https://w1.example/a/b/").as_deref(),
            Ok("https://w1.example/a/b/add-checkpoint")
        );
        for other in [
            "w1.example",
            "ftp://w1.example",
            "https://a:b@w1.example",
            "https://w1.example?x=y",
        ] {
            assert_eq!(url(other), Err("is no URL such as `https://w1.example/`"), "{other}");
        }
    }

    #[test]
    fn what_a_witness_says_cannot_be_forged_on_the_way() {
        for other in ["http://w1.example/", "http://192.0.2.7/w1", "http://localhost.example/"] {
            let problem = add_checkpoint(other).unwrap_err();
            assert!(problem.starts_with("must begin with `https://`"), "{other}: {problem}");
        }
        for own in ["http://127.0.0.1:8080/w1", "http://[::1]/", "http://localhost:8080"] {
            assert!(add_checkpoint(own).is_ok(), "{own}");
        }
    }
}
