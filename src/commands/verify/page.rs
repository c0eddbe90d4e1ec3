//! `verify --page`: verifies the signature of a page that `audit` has written.

use std::path::Path;

use serde::Serialize;

use crate::audit::PAGE_BEGINNING;
use crate::commands::error::CommandError;
use crate::commands::outcome::{print_json, print_text, say_problems};
use crate::evidence::note::VerifierKey;
use crate::evidence::signed_page;
use crate::fs::read_to_string;
use crate::output::logging::Verbosity;
use crate::output::printable::printable;
use crate::process::exit::Exit;

/// The result as JSON.
#[derive(Debug, Serialize)]
struct Shown {
    is_signed: bool,
    problem: Option<String>,
    page: Option<String>,
    signer: String,
    fingerprint: String,
    exit_code: u8,
}

/// Verifies a page.
pub(super) fn run(page: &Path, signer: &str, is_json: bool, verbosity: Verbosity) -> Result<Exit, CommandError> {
    let key = VerifierKey::parse(signer).map_err(|error| CommandError::usage(format!("--signer: {error}")))?;
    let signed = read_to_string(page)?;
    let verified = signed_page::verify(&signed, &key);
    let verified = verified.map_err(|error| format!("{} is not what was signed: {error}", page.display()));
    let is_page = |text: &String| text.starts_with(PAGE_BEGINNING);
    let verified = verified.and_then(|text| {
        let problem = || format!("{} is signed, and is no page of an audit", page.display());
        Some(text).filter(is_page).ok_or_else(problem)
    });
    let exit = if verified.is_ok() {
        Exit::Complete
    } else {
        Exit::StreamFailed
    };
    say_problems(verbosity, verified.as_ref().err());
    if is_json {
        print_json(
            None,
            &Shown {
                is_signed: verified.is_ok(),
                problem: verified.as_ref().err().cloned(),
                page: verified.ok(),
                signer: key.to_string(),
                fingerprint: key.fingerprint(),
                exit_code: exit as u8,
            },
        )?;
        return Ok(exit);
    }
    print_text(verbosity, || match &verified {
        Ok(page) => {
            let lines: String = page.lines().map(|line| format!("{}\n", printable(line))).collect();
            format!("{lines}\nsigned by {} ({})\n", printable(key.name()), key.fingerprint())
        }
        Err(problem) => format!("{problem}\n"),
    })?;
    Ok(exit)
}
