//! What only one organization of an installation can have.

use std::path::Path;

use super::evidence::{EVIDENCE_FOLDER, EVIDENCE_ORIGIN};
use super::kafka::KAFKA_TRANSACTIONAL_ID;
use super::place::{self, StreamPlace};
use crate::env::{ConfigErrors, Env};
use crate::source::Kind;

/// Returns what the settings of an organization claim for it alone, each as the end of a sentence that begins with its name: day files,
/// evidence, the id of its transactions. What is wrong with them is told when they are read.
pub(crate) fn owned(env: &Env, kinds: &'static [Kind]) -> Vec<String> {
    let mut quiet = ConfigErrors::default();
    let on = kinds.iter().filter(|kind| place::is_on(env, kind));
    let files = on.filter_map(|kind| StreamPlace::read(env, kind, &mut ConfigErrors::default()));
    let mut owned: Vec<_> = files.map(|place| place.own_files()).collect();
    if let Some(folder) = env.optional(&EVIDENCE_FOLDER, &mut quiet) {
        owned.push(format!(
            "keeps its evidence in {}",
            place::real(Path::new(&folder)).display()
        ));
    }
    if let Some(origin) = env.optional(&EVIDENCE_ORIGIN, &mut quiet) {
        owned.push(format!("has the EVIDENCE_ORIGIN {origin}"));
    }
    if let Some(id) = env.optional(&KAFKA_TRANSACTIONAL_ID, &mut quiet) {
        owned.push(format!("has the KAFKA_TRANSACTIONAL_ID {id}"));
    }
    owned
}
