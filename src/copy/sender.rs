//! Writes the parts of a copy, several at a time, reads each back and compares it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use bytes::Bytes;

use super::part::Part;
use super::store::{Put, Store, StoreError};
use crate::fs::sha256;

/// How many parts are on their way at a time.
const AT_ONCE: usize = 4;

/// A part to be written.
struct Job {
    object: String,
    bytes: Bytes,
    sent: Arc<AtomicU64>,
}

/// Takes the parts that are to be written.
pub(super) struct Sender<'a> {
    /// What the store holds, and how long it is.
    there: BTreeMap<String, u64>,
    /// `None` if nothing is to be written.
    jobs: Option<SyncSender<Job>>,
    failed: &'a Mutex<Option<StoreError>>,
}

/// Runs `work` with a sender, and returns its result when all parts are written; an error of the store comes first.
///
/// # Errors
/// If the store does not take a part, or does not give it back as it was.
pub(super) fn with_sender<T>(
    store: &dyn Store,
    there: BTreeMap<String, u64>,
    is_dry_run: bool,
    work: impl FnOnce(&Sender<'_>) -> T,
) -> Result<T, StoreError> {
    let (failed, (jobs, taken)) = (Mutex::new(None), sync_channel(1));
    let taken = Mutex::new(taken);
    let known = there.clone();
    let done = thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(job) = next(&taken) {
                    if is_sound(&failed)
                        && let Err(error) = write(store, &known, &job)
                    {
                        failed
                            .lock()
                            .unwrap_or_else(PoisonError::into_inner)
                            .get_or_insert(error);
                    }
                }
            });
        }
        let sender = Sender {
            there,
            jobs: (!is_dry_run).then_some(jobs),
            failed: &failed,
        };
        let done = work(&sender);
        // The last of the jobs: the threads end.
        drop(sender);
        done
    });
    match failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some(error) => Err(error),
        None => Ok(done),
    }
}

fn next(jobs: &Mutex<Receiver<Job>>) -> Option<Job> {
    jobs.lock().unwrap_or_else(PoisonError::into_inner).recv().ok()
}

fn is_sound(failed: &Mutex<Option<StoreError>>) -> bool {
    failed.lock().unwrap_or_else(PoisonError::into_inner).is_none()
}

fn write(store: &dyn Store, there: &BTreeMap<String, u64>, job: &Job) -> Result<(), StoreError> {
    let is_there = there.get(&job.object) == Some(&(job.bytes.len() as u64));
    if !is_there && put_checked(store, &job.object, &job.bytes)? == Put::Written {
        job.sent.fetch_add(job.bytes.len() as u64, Ordering::Relaxed);
        return Ok(());
    }
    check(store, &job.object, &job.bytes)
}

/// Writes an object, reads it back and compares every byte; one that was there has to be the same.
///
/// # Errors
/// If the store refuses, or holds something else.
pub(super) fn put_checked(store: &dyn Store, object: &str, bytes: &Bytes) -> Result<Put, StoreError> {
    let put = store.put(object, bytes.clone())?;
    if put == Put::Written {
        check(store, object, bytes)?;
    }
    Ok(put)
}

fn check(store: &dyn Store, object: &str, bytes: &Bytes) -> Result<(), StoreError> {
    match store.get(object)? {
        Some(found) if found == *bytes => Ok(()),
        Some(_) => Err(StoreError::new(format!(
            "{object} holds other bytes than were to be written there, and is not replaced: copy to another place"
        ))),
        None => Err(StoreError::new(format!("{object} was written and is not there"))),
    }
}

impl Sender<'_> {
    /// Whether the store has the object of a part, in its length.
    pub(super) fn has(&self, object: &str, part: &Part) -> bool {
        self.there.get(object) == Some(&part.bytes)
    }

    /// Whether the store has failed: nothing more is to be read.
    pub(super) fn has_failed(&self) -> bool {
        !is_sound(self.failed)
    }

    /// Takes a part at this offset of a file. `sent` counts its bytes once the store has taken them; those of a dry run now.
    pub(super) fn send(&self, section: &str, file: &str, offset: u64, bytes: Bytes, sent: &Arc<AtomicU64>) -> Part {
        let part = Part {
            offset,
            bytes: bytes.len() as u64,
            sha256: sha256(&bytes).digits(),
        };
        let object = part.object(section, file);
        match &self.jobs {
            Some(jobs) => {
                let sent = Arc::clone(sent);
                // Those who take them are there as long as this is.
                let _ = jobs.send(Job { object, bytes, sent });
            }
            None if !self.has(&object, &part) => {
                sent.fetch_add(part.bytes, Ordering::Relaxed);
            }
            None => {}
        }
        part
    }
}
