//! Who adds to a log: the key, the folder, and what is done with them. One function for each thing that can be added.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};

use super::checkpoint::Checkpoint;
use super::entry::{Content, Entry, FileId, Says};
use super::folder::Folder;
use super::ledger::{History, Ledger};
pub(crate) use super::log::LogError;
use super::log::{Log, put_aside};
use super::log_signer::{LogSigner, SigningError};
use super::material::Material;
use super::note::VerifierKey;
use super::notes::Notes;
use super::seal::{SealOptions, StreamSeal, seal_stream};
use super::signer::{Signer, SignerError};
use super::tree::{Tree, sha256};
use crate::archive::{LineCounter, Location};
use crate::config::{EVIDENCE_KEY_FILE, EvidenceSettings, KeySource, StreamPlace};
use crate::env::Row;
use crate::fs::{FileError, remove, rename};

/// Why nothing was added.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeeperError {
    #[error(transparent)]
    Log(#[from] LogError),
    #[error(transparent)]
    Signer(#[from] SignerError),
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Signing(#[from] SigningError),
    #[error("{} is not set: it names the file of the key", EVIDENCE_KEY_FILE.name())]
    NoKey,
    #[error(
        "the key is the credential {0} of systemd, which is only read here: set {file} to the path of the file behind it",
        file = EVIDENCE_KEY_FILE.name()
    )]
    ReadOnly(String),
    #[error("the key is in an ssh-agent: name the next one, which is in that agent too, with --agent SHA256:...")]
    NoNextKey,
    #[error(
        "the log goes on with another key ({fingerprint}), and the settings name the one before it: set them to the new one"
    )]
    HandedOver { fingerprint: String },
    #[error(
        "the key is on another host: to replace it is not possible in this version, but with `trailkeeper evidence restart`"
    )]
    Elsewhere,
    #[error(
        "nothing is deleted yet: the log says that {files} files are about to be, and that waits for the signature of the key on another          host (`trailkeeper evidence request`)"
    )]
    Waits { files: usize },
    #[error("this is the key that signs already")]
    SameKey,
    #[error("the log is that of {found}, and EVIDENCE_ORIGIN says {set}: the name of a log never changes")]
    OtherOrigin { found: String, set: String },
    #[error(
        "{file} is no file that was sealed, nor one of a stream: give the name of a day file, as `verify --evidence` shows it"
    )]
    UnknownFile { file: String },
    #[error("{file} is what was sealed: there is nothing to acknowledge")]
    AsSealed { file: String },
    #[error(
        "the key was replaced by another one, and is still in its place: `trailkeeper evidence rotate` finishes that"
    )]
    Replaced,
    #[error("{file} is not what was sealed, and is not deleted: `trailkeeper verify --evidence` says where")]
    NotAsSealed { file: String },
    #[error("nothing is deleted, since the stream is not what was sealed: {problem}")]
    OfStream { problem: String },
    #[error("{problem}: that is not to be acknowledged; remove the wrong file first")]
    TwoForms { problem: String },
    #[error("{folder} holds a log that can be added to: `restart` is for one that is lost")]
    NotLost { folder: String },
}

impl KeeperError {
    /// Returns whether another process adds to the log.
    pub(crate) fn is_held(&self) -> bool {
        matches!(self, Self::Log(LogError::Lock(error)) if error.is_held())
    }
}

/// What a seal came to.
#[derive(Debug)]
pub(crate) struct Seal {
    /// By stream.
    pub(crate) streams: BTreeMap<&'static str, StreamSeal>,
    /// How many entries the log has now, and how many of them wait for a signature.
    pub(crate) size: u64,
    pub(crate) waiting: u64,
    pub(crate) key: VerifierKey,
}

/// What the file of a key is called that is to take the place of another one, behind the name of that.
const NEXT: &str = ".next";

/// Adds to the log of some settings.
#[derive(Debug)]
pub(crate) struct Keeper<'a> {
    pub(super) settings: &'a EvidenceSettings,
    folder: Folder,
}

impl<'a> Keeper<'a> {
    pub(crate) fn new(settings: &'a EvidenceSettings) -> Self {
        Self {
            settings,
            folder: Folder::new(&settings.folder),
        }
    }

    fn key(&self) -> Result<&KeySource, KeeperError> {
        self.settings.key.as_ref().ok_or(KeeperError::NoKey)
    }

    /// Returns the file of a key that is made here.
    fn key_file(&self) -> Result<&Path, KeeperError> {
        match self.key()? {
            KeySource::File(path) => Ok(path),
            KeySource::Credential(name) => Err(KeeperError::ReadOnly(name.clone())),
            KeySource::Agent(_) => Err(KeeperError::NoNextKey),
            KeySource::Elsewhere(_) => Err(KeeperError::Elsewhere),
        }
    }

    fn signer_named(&self, name: &str) -> Result<LogSigner, KeeperError> {
        Ok(LogSigner::of(self.settings, self.key()?, name)?)
    }

    /// Finds the key, by the name of the log that is there: one that was begun anew has a number behind its name.
    pub(super) fn signer(&self) -> Result<LogSigner, KeeperError> {
        let set = &self.settings.origin;
        let found = self.folder.unverified_origin()?.unwrap_or_else(|| set.clone());
        let signer = self.signer_named(&found)?;
        self.check_origin(found)?;
        Ok(signer)
    }

    /// Makes sure that the log of this name is that of the settings.
    fn check_origin(&self, found: String) -> Result<(), KeeperError> {
        let set = &self.settings.origin;
        if found != *set && number_of(&found, set).is_none() {
            return Err(KeeperError::OtherOrigin {
                found,
                set: set.clone(),
            });
        }
        Ok(())
    }

    /// Makes sure that something can be added, as far as it shows without the key itself, which who asks may not be allowed to read.
    ///
    /// # Errors
    /// Why not.
    pub(crate) fn check(&self) -> Result<(), KeeperError> {
        if let KeySource::File(path) = self.key()?
            && let Err(cause) = path.symlink_metadata()
            && cause.kind() == std::io::ErrorKind::NotFound
        {
            return Err(FileError::io("open", path, cause).into());
        }
        Log::check(&self.folder)?;
        let found = self.folder.unverified_origin()?;
        found.map_or(Ok(()), |found| self.check_origin(found))
    }

    /// Opens the log, for the key that signs it now.
    pub(super) fn open(&self, signer: &LogSigner, now: DateTime<Utc>) -> Result<Log, KeeperError> {
        let log = Log::open(&self.folder, signer.verifier(), now)?;
        let newest = log.ledger.keys.last().map(|(_, key)| key);
        match newest.filter(|key| *key != signer.verifier()) {
            None => Ok(log),
            Some(_) if self.has_next_key() => Err(KeeperError::Replaced),
            Some(key) => Err(KeeperError::HandedOver {
                fingerprint: key.fingerprint(),
            }),
        }
    }

    /// Returns whether a key waits beside the file of the present one to take its place.
    fn has_next_key(&self) -> bool {
        let staged = self.key_file().map(|path| with_suffix(path, NEXT));
        staged.is_ok_and(|staged| staged.symlink_metadata().is_ok())
    }

    pub(super) fn location(&self) -> Result<Location, KeeperError> {
        let location = Location::new(self.folder.path(), "evidence", "jsonl");
        let failed = |error| FileError::io("use", self.folder.path(), std::io::Error::other(error));
        Ok(location.map_err(failed)?)
    }

    /// Begins the log, with a key that is made and written to its file, or with that of an agent.
    ///
    /// # Errors
    /// If the file or a log is there already, or the system refuses.
    pub(crate) fn generate_key(&self, now: DateTime<Utc>) -> Result<VerifierKey, KeeperError> {
        if self.folder.read()?.is_some() {
            let folder = self.folder.path().display().to_string();
            return Err(LogError::Begun { folder }.into());
        }
        let origin = &self.settings.origin;
        let begin = |signer: &LogSigner| {
            let entries = [key_entry(signer.verifier(), now)];
            Log::begin(&self.folder, &entries, signer, now).map(|()| signer.verifier().clone())
        };
        if matches!(self.key()?, KeySource::Agent(_) | KeySource::Elsewhere(_)) {
            return Ok(begin(&self.signer_named(origin)?)?);
        }
        let path = self.key_file()?;
        let signer = Signer::generate(origin)?;
        signer.write(path)?;
        let begun = begin(&LogSigner::Held(signer));
        if begun.is_err() {
            // A key without a log would be in the way of the next try; it has signed nothing that counts.
            remove(path)?;
        }
        Ok(begun?)
    }

    /// Takes a checkpoint that the host of the key has signed; returns how many entries wait after that.
    ///
    /// # Errors
    /// If the log cannot be used, or it is not its checkpoint.
    pub(crate) fn accept(&self, text: &str, now: DateTime<Utc>) -> Result<(Checkpoint, u64), KeeperError> {
        let signer = self.signer()?;
        let mut log = self.open(&signer, now)?;
        let checkpoint = log.accept(text, signer.verifier())?;
        Ok((checkpoint, log.waiting()))
    }

    /// Seals streams.
    ///
    /// # Errors
    /// If the key or the log cannot be used. What is wrong with a stream is in the result.
    pub(crate) fn seal(&self, places: &[StreamPlace], options: SealOptions) -> Result<Seal, KeeperError> {
        let signer = self.signer()?;
        let mut log = self.open(&signer, options.now)?;
        let file = self.location()?.state("notes.json");
        let mut notes = if options.full {
            Notes::default()
        } else {
            Notes::read(&file)
        };
        let mut streams = BTreeMap::new();
        for place in places {
            streams.insert(place.kind.name, seal_stream(place, &log.ledger, &mut notes, options));
        }
        let entries: Vec<_> = streams.values().flat_map(|seal| &seal.entries).cloned().collect();
        if !entries.is_empty() {
            log.add(&entries, &[&signer])?;
        }
        notes.store(&file);
        Ok(Seal {
            streams,
            size: log.size(),
            waiting: log.waiting(),
            key: signer.verifier().clone(),
        })
    }

    /// Takes a file as it is now, although it is not what was sealed, and says why.
    ///
    /// # Errors
    /// If it is what was sealed, or nothing is known of such a file.
    pub(crate) fn acknowledge(
        &self,
        places: &[StreamPlace],
        file: &str,
        reason: &str,
        now: DateTime<Utc>,
    ) -> Result<FileId, KeeperError> {
        let signer = self.signer()?;
        let mut log = self.open(&signer, now)?;
        let (id, place) =
            find(places, &log.ledger, file).ok_or_else(|| KeeperError::UnknownFile { file: file.to_owned() })?;
        let history = log.ledger.files.get(&id);
        let was = history.and_then(History::newest).map(|sealed| sealed.content);
        let (content, is_longer) = content_of(&place.location, &id.file, was)?;
        if was.is_none() && content.lines == 0 {
            return Err(KeeperError::UnknownFile { file: id.file });
        }
        let may_grow = history.is_some_and(|history| !history.is_closed);
        if was == Some(content) || is_longer && may_grow {
            return Err(KeeperError::AsSealed { file: id.file });
        }
        let says = Says::Broken {
            file: id.clone(),
            content,
            was: was.unwrap_or_else(nothing),
            reason: reason.to_owned(),
        };
        log.add(&[Entry::new(says, now)], &[&signer])?;
        Ok(id)
    }

    /// Makes another key, which signs from now on; the old one signs once more that it does. The old file is kept beside the new
    /// one.
    ///
    /// # Errors
    /// If the key or the log cannot be used, or the system refuses.
    pub(crate) fn rotate(&self, now: DateTime<Utc>) -> Result<(VerifierKey, PathBuf), KeeperError> {
        let path = self.key_file()?;
        let old = self.signer()?;
        let mut log = Log::open(&self.folder, old.verifier(), now)?;
        let kept = with_suffix(path, &format!(".until-{}", now.format("%Y%m%dT%H%M%S%3fZ")));
        let staged = with_suffix(path, NEXT);
        let name = old.verifier().name().to_owned();
        let left = left_over(&staged, &log.ledger, &name)?;
        let is_named = left.is_some();
        let new = match left {
            Some(new) => new,
            None => {
                let new = Signer::generate(&name)?;
                new.write(&staged)?;
                new
            }
        };
        let new = LogSigner::Held(new);
        // Where the log names it already, the old key may have signed since, so both sign what is there now.
        let entries = (!is_named).then(|| key_entry(new.verifier(), now));
        log.add(entries.as_slice(), &[&old, &new])?;
        // The old key stays in its place until the new one takes it.
        if let LogSigner::Held(old) = &old {
            old.write(&kept)?;
        }
        rename(&staged, path)?;
        Ok((new.verifier().clone(), kept))
    }

    /// Hands over to a key of an agent, as [`Keeper::rotate`] does; the settings are to name it from now on.
    ///
    /// # Errors
    /// If one of the keys or the log cannot be used.
    pub(crate) fn rotate_to_agent(&self, fingerprint: &str, now: DateTime<Utc>) -> Result<VerifierKey, KeeperError> {
        if matches!(self.key()?, KeySource::Elsewhere(_)) {
            return Err(KeeperError::Elsewhere);
        }
        let old = self.signer()?;
        let name = old.verifier().name();
        let new = LogSigner::in_agent(self.settings.ssh_agent.as_deref(), fingerprint, name)?;
        if new.verifier() == old.verifier() {
            return Err(KeeperError::SameKey);
        }
        let mut log = Log::open(&self.folder, old.verifier(), now)?;
        let newest = log.ledger.keys.last().map(|(_, key)| key);
        let entries = (newest != Some(new.verifier())).then(|| key_entry(new.verifier(), now));
        log.add(entries.as_slice(), &[&old, &new])?;
        Ok(new.verifier().clone())
    }

    /// Begins another log, in place of one that is lost: what is left of that is kept in a folder of its own.
    ///
    /// # Errors
    /// If the log that is there can be added to, or the system refuses.
    pub(crate) fn restart(&self, reason: &str, now: DateTime<Utc>) -> Result<VerifierKey, KeeperError> {
        let set = &self.settings.origin;
        let found = self.folder.unverified_origin()?.unwrap_or_else(|| set.clone());
        match Log::open(&self.folder, self.signer_named(&found)?.verifier(), now) {
            Ok(_) => {
                let folder = self.folder.path().display().to_string();
                return Err(KeeperError::NotLost { folder });
            }
            Err(error) if error.is_of_a_lost_log() => {}
            Err(error) => return Err(error.into()),
        }
        let number = number_of(&found, set).unwrap_or(1);
        let lost = put_aside(&self.folder, number)?;
        // Where nothing is left of the lost log, its number is not known, and a name is never given twice.
        let next = match lost {
            Some(_) => (number + 1).to_string(),
            None => now.format("%Y%m%d%H%M%S").to_string(),
        };
        let origin = format!("{set}/{next}");
        let signer = self.signer_named(&origin)?;
        let says = Says::Restart {
            reason: reason.to_owned(),
            lost,
        };
        let entries = [Entry::new(says, now), key_entry(signer.verifier(), now)];
        Log::begin(&self.folder, &entries, &signer, now)?;
        Ok(signer.verifier().clone())
    }
}

/// Returns the next key that a crash has left, if the log names it already; any other one is removed.
fn left_over(staged: &Path, ledger: &Ledger, name: &str) -> Result<Option<Signer>, KeeperError> {
    if staged.symlink_metadata().is_err() {
        return Ok(None);
    }
    let signer = Signer::read(staged).ok().map(|signer| signer.named(name));
    let is_named = |signer: &Signer| ledger.keys.iter().any(|(_, key)| key == signer.verifier());
    match signer.filter(is_named) {
        Some(signer) => Ok(Some(signer)),
        None => {
            remove(staged)?;
            Ok(None)
        }
    }
}

fn key_entry(key: &VerifierKey, now: DateTime<Utc>) -> Entry {
    Entry::new(Says::Key { key: key.to_string() }, now)
}

/// Returns which log of a name it is: `example.org/audit` is the first, `example.org/audit/2` the second one.
pub(super) fn number_of(found: &str, set: &str) -> Option<u64> {
    let rest = found.strip_prefix(set)?;
    if rest.is_empty() {
        return Some(1);
    }
    let number = rest.strip_prefix('/')?;
    number.parse().ok().filter(|n: &u64| *n > 1 && n.to_string() == number)
}

/// The content of a file that is not there.
fn nothing() -> Content {
    Content {
        lines: 0,
        bytes: 0,
        root: sha256(b""),
    }
}

/// Finds the file of this name, or path: a sealed one, or a day file of a stream.
fn find<'p>(places: &'p [StreamPlace], ledger: &Ledger, file: &str) -> Option<(FileId, &'p StreamPlace)> {
    let name = Path::new(file).file_name()?.to_str()?;
    let is_here = |place: &&StreamPlace| match Path::new(file).parent() {
        Some(folder) if folder != Path::new("") => {
            let catalogs = [place.location.folder().to_owned(), place.location.state_folder()];
            catalogs
                .iter()
                .any(|catalog| folder.canonicalize().ok() == catalog.canonicalize().ok())
        }
        _ => true,
    };
    let candidates = places.iter().filter(is_here).map(|place| {
        let id = FileId {
            stream: place.kind.name.to_owned(),
            file: name.to_owned(),
        };
        (id, place)
    });
    let is_known =
        |(id, place): &(FileId, &StreamPlace)| ledger.files.contains_key(id) || place.location.day_of(name).is_some();
    candidates.into_iter().find(is_known)
}

/// Returns what a file holds now, and whether it begins with what it held.
pub(super) fn content_of(
    location: &Location,
    name: &str,
    was: Option<Content>,
) -> Result<(Content, bool), KeeperError> {
    let of_day = Location::of_day_file(location.folder(), name);
    let material = match of_day.and_then(|location| Some((location.day_of(name)?, location))) {
        Some((date, location)) => {
            let listing = location.listing()?;
            let material = Material::of_day(&listing, date, &mut LineCounter::of(&location))?;
            material.map_err(|problem| KeeperError::TwoForms { problem })?
        }
        None => Material::State(location.state_named(name)),
    };
    let wanted: Vec<_> = was.iter().map(|was| was.lines).collect();
    let hashed = material.hash(Tree::default(), 0, &wanted, |_| {})?;
    let begins_so = was.is_some() && hashed.marks.first() == was.as_ref();
    Ok((hashed.content(), begins_so))
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut path = path.to_owned().into_os_string();
    path.push(suffix);
    path.into()
}

#[cfg(test)]
mod tests {
    use super::number_of;

    #[test]
    fn a_log_that_was_begun_anew_has_a_number_behind_its_name() {
        let table = [
            ("a.example/x", Some(1)),
            ("a.example/x/2", Some(2)),
            ("a.example/x/17", Some(17)),
            ("a.example/x/1", None),
            ("a.example/x/02", None),
            ("a.example/x2", None),
            ("b.example", None),
        ];
        for (found, number) in table {
            assert_eq!(number_of(found, "a.example/x"), number, "{found}");
        }
    }
}
