//! What a verdict rests on: whose signatures are believed, and who says so.

use std::path::{Path, PathBuf};

use crate::commands::error::CommandError;
use crate::evidence::folder::Folder;
use crate::evidence::policy::Policy;
use crate::fs::read_to_string;

/// What the verdict rests on.
pub(in crate::commands) struct Basis {
    pub(in crate::commands) path: PathBuf,
    /// Whose signatures are believed; or why nobody's are.
    pub(in crate::commands) policy: Result<Policy, String>,
    /// Whether it is the operator who says so.
    pub(in crate::commands) is_operators: bool,
}

/// Reads the text of the policy that somebody names.
pub(super) fn parse_policy(path: &Path, text: &str) -> Result<Policy, CommandError> {
    let policy = Policy::parse(text);
    policy.map_err(|error| CommandError::setup(format!("the policy {} cannot be used: {error}", path.display())))
}

/// Reads the policy: that of the auditor, or what the operator says.
pub(in crate::commands) fn basis(policy: Option<&Path>, folder: &Folder) -> Result<Basis, CommandError> {
    let (path, text, is_operators) = match policy {
        Some(path) => (path.to_owned(), read_to_string(path)?, false),
        None => match folder.policy()? {
            Some((path, text)) => (path, text, true),
            None => {
                let problem = "no key is trusted: name a policy with --policy".to_owned();
                return Ok(Basis {
                    path: PathBuf::new(),
                    policy: Err(problem),
                    is_operators: false,
                });
            }
        },
    };
    if !is_operators {
        parse_policy(&path, &text)?;
    }
    let policy = Policy::parse(&text).map_err(|error| format!("the policy {} cannot be used: {error}", path.display()));
    Ok(Basis {
        path,
        policy,
        is_operators,
    })
}
