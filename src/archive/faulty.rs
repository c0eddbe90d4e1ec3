//! A storage for tests that fails on demand. It writes real files and tracks what a power cut would leave.

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::fs::{self, Metadata, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use super::storage::{Appendable, Disk, Opened, Storage, StoredFile};
use crate::fs::FileError;

/// A fault at one operation.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    /// A write takes only this many bytes, at least one, without an error.
    Short(usize),
    /// A signal interrupts a write before it took anything.
    Interrupted,
    /// The disk is full after this many bytes.
    Full(usize),
    /// A write fails after this many bytes.
    Broken(usize),
    /// The process is killed after a write of this many bytes; nothing works until the restart.
    Killed(usize),
    Panic,
}

/// The storage; clones share their state.
#[derive(Clone, Debug, Default)]
pub(crate) struct Faulty(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// The next fault, and how many writing operations come before it.
    armed: Option<(u64, Fault)>,
    /// The same for reading operations.
    armed_reading: Option<(u64, Fault)>,
    killed: bool,
    /// The operations in order, such as `write mail_2025-06-09.log`.
    log: Vec<String>,
    /// How often a file or folder was looked at, opened for reading or listed.
    looks: u64,
    /// How much of each file survives a power cut.
    synced: HashMap<PathBuf, u64>,
    /// The files whose names survive a power cut.
    named: HashSet<PathBuf>,
    /// What was removed or replaced and comes back with a power cut, unless its folder was synced since.
    gone: HashMap<PathBuf, Vec<u8>>,
}

/// What an operation does.
enum Verdict {
    Work,
    /// It works for this many bytes, then returns the error, if any.
    Partly(usize, Option<io::Error>),
}

impl Faulty {
    /// Sets a fault after this many reading operations.
    pub(crate) fn arm_reading(&self, after: u64, fault: Fault) {
        self.state().armed_reading = Some((after, fault));
    }

    /// Sets a fault after this many writing operations.
    pub(crate) fn arm(&self, after: u64, fault: Fault) {
        self.state().armed = Some((after, fault));
    }

    /// Starts the program again, on a disk that works.
    pub(crate) fn restart(&self) {
        let mut state = self.state();
        state.killed = false;
        state.armed = None;
        state.armed_reading = None;
    }

    /// Returns the operations since the last call.
    pub(super) fn log(&self) -> Vec<String> {
        std::mem::take(&mut self.state().log)
    }

    /// Returns how often a file or folder was looked at, opened for reading or listed since the last call.
    pub(crate) fn looks(&self) -> u64 {
        std::mem::take(&mut self.state().looks)
    }

    /// Returns how much of a file survives a power cut.
    pub(super) fn synced_length(&self, path: &Path) -> usize {
        let state = self.state();
        if state.named.contains(path) {
            state.synced.get(path).copied().unwrap_or(0) as usize
        } else {
            0
        }
    }

    /// Cuts the power: `left`/255 of what was not synced is left, and unsynced names only if `left` is 255.
    pub(crate) fn cut_power(&self, folder: &Path, left: u8) {
        let gone = std::mem::take(&mut self.state().gone);
        for (path, bytes) in gone {
            if left < 255 {
                fs::write(&path, bytes).unwrap();
                self.mark_synced(&path);
            }
        }
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                self.cut_power(&path, left);
                continue;
            }
            if !self.state().named.contains(&path) && left < 255 {
                fs::remove_file(&path).unwrap();
                self.state().synced.remove(&path);
                continue;
            }
            let length = fs::metadata(&path).unwrap().len();
            let synced = self.state().synced.get(&path).copied().unwrap_or(0);
            let kept = synced + (length - synced) * u64::from(left) / 255;
            OpenOptions::new()
                .write(true)
                .open(&path)
                .unwrap()
                .set_len(kept)
                .unwrap();
            // What is left was on the disk.
            self.mark_synced(&path);
        }
    }

    /// Notes what the name of a file leads to on disk, before it is removed or leads elsewhere.
    fn note_gone(&self, path: &Path) {
        let mut state = self.state();
        if state.named.remove(path)
            && let Ok(bytes) = fs::read(path)
        {
            state.gone.entry(path.to_owned()).or_insert(bytes);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    fn mark_synced(&self, path: &Path) {
        let length = fs::metadata(path).unwrap().len();
        let mut state = self.state();
        state.synced.insert(path.to_owned(), length);
        state.named.insert(path.to_owned());
    }

    fn verdict(&self, doing: &str, path: &Path) -> Verdict {
        let mut state = self.state();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        state.log.push(format!("{doing} {name}"));
        let is_in_part = matches!(doing, "write" | "read");
        if state.killed {
            return Verdict::Partly(0, Some(io::Error::other("the process is dead")));
        }
        let armed = match doing {
            "read" | "open to read" | "list" => &mut state.armed_reading,
            _ => &mut state.armed,
        };
        let Some((after, fault)) = *armed else {
            return Verdict::Work;
        };
        if after > 0 {
            *armed = Some((after - 1, fault));
            return Verdict::Work;
        }
        *armed = None;
        match fault {
            Fault::Short(bytes) if is_in_part => Verdict::Partly(bytes.max(1), None),
            Fault::Interrupted if is_in_part => Verdict::Partly(0, Some(io::ErrorKind::Interrupted.into())),
            Fault::Short(_) | Fault::Interrupted => Verdict::Work,
            Fault::Full(bytes) => Verdict::Partly(bytes, Some(io::ErrorKind::StorageFull.into())),
            Fault::Broken(bytes) => Verdict::Partly(bytes, Some(rustix::io::Errno::IO.into())),
            Fault::Panic => {
                drop(state);
                panic!("a fault of the program")
            }
            Fault::Killed(bytes) => {
                state.killed = true;
                Verdict::Partly(bytes, Some(io::Error::other("killed")))
            }
        }
    }

    /// Runs an operation other than a write: it works, or it fails and does nothing.
    fn operate(&self, doing: &str, path: &Path) -> io::Result<()> {
        match self.verdict(doing, path) {
            Verdict::Work | Verdict::Partly(_, None) => Ok(()),
            Verdict::Partly(_, Some(error)) => Err(error),
        }
    }
}

impl Storage for Faulty {
    fn open(&self, path: &Path, mode: u32) -> Result<Opened, FileError> {
        self.operate("open", path)
            .map_err(|cause| FileError::io("open", path, cause))?;
        let opened = Disk.open(path, mode)?;
        // A failure after the file was made leaves an empty one.
        self.operate("look at", path)
            .map_err(|cause| FileError::io("look at", path, cause))?;
        let file = Box::new(FaultyFile {
            disk: self.clone(),
            path: path.to_owned(),
            file: opened.file,
        });
        Ok(Opened {
            file,
            created: opened.created,
        })
    }

    fn read(&self, path: &Path) -> Result<Box<dyn StoredFile>, FileError> {
        self.state().looks += 1;
        self.operate("open to read", path)
            .map_err(|cause| FileError::io("open", path, cause))?;
        Ok(Box::new(FaultyStoredFile {
            disk: self.clone(),
            path: path.to_owned(),
            file: Disk.read(path)?,
        }))
    }

    fn metadata(&self, path: &Path) -> Result<Metadata, FileError> {
        self.state().looks += 1;
        Disk.metadata(path)
    }

    fn look_into(&self, folder: &Path, show: &mut dyn FnMut(&OsStr, bool)) -> Result<(), FileError> {
        self.state().looks += 1;
        self.operate("list", folder)
            .map_err(|cause| FileError::io("list", folder, cause))?;
        Disk.look_into(folder, show)
    }

    fn replace(&self, path: &Path, bytes: &[u8]) -> Result<(), FileError> {
        self.operate("replace", path)
            .map_err(|cause| FileError::io("replace", path, cause))?;
        Disk.replace(path, bytes)?;
        self.mark_synced(path);
        Ok(())
    }

    fn remove(&self, path: &Path) -> Result<(), FileError> {
        self.operate("remove", path)
            .map_err(|cause| FileError::io("remove", path, cause))?;
        self.note_gone(path);
        self.state().synced.remove(path);
        Disk.remove(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<(), FileError> {
        self.operate("rename", to)
            .map_err(|cause| FileError::io("rename", from, cause))?;
        self.note_gone(to);
        Disk.rename(from, to)?;
        let mut state = self.state();
        let synced = state.synced.remove(from).unwrap_or(0);
        state.synced.insert(to.to_owned(), synced);
        state.named.remove(from);
        Ok(())
    }

    fn give_to_owner_of(&self, path: &Path, like: &Metadata) {
        Disk.give_to_owner_of(path, like);
    }

    fn make_folder_like(&self, path: &Path, like: &Metadata) -> Result<(), FileError> {
        self.operate("make", path)
            .map_err(|cause| FileError::io("create the folder", path, cause))?;
        Disk.make_folder_like(path, like)
    }

    /// A kill can come between the two renames.
    fn replace_keeping(&self, path: &Path, previous: &Path, bytes: &[u8]) -> Result<(), FileError> {
        self.operate("replace", path)
            .map_err(|cause| FileError::io("replace", path, cause))?;
        if path.exists() {
            fs::rename(path, previous).unwrap();
            self.mark_synced(previous);
        }
        self.operate("rename", path)
            .map_err(|cause| FileError::io("replace", path, cause))?;
        Disk.replace(path, bytes)?;
        self.mark_synced(path);
        Ok(())
    }

    fn sync_file(&self, path: &Path) -> Result<(), FileError> {
        self.operate("sync_existing", path)
            .map_err(|cause| FileError::io("sync", path, cause))?;
        let length = fs::metadata(path).unwrap().len();
        self.state().synced.insert(path.to_owned(), length);
        Ok(())
    }

    fn sync_folder(&self, folder: &Path) -> Result<(), FileError> {
        self.operate("sync names in", folder)
            .map_err(|cause| FileError::io("sync the folder", folder, cause))?;
        let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let mut state = self.state();
        state.named.extend(names);
        state.gone.retain(|path, _| path.parent() != Some(folder));
        Ok(())
    }
}

struct FaultyFile {
    disk: Faulty,
    path: PathBuf,
    file: Box<dyn Appendable>,
}

impl Write for FaultyFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.disk.verdict("write", &self.path) {
            Verdict::Work => self.file.write(bytes),
            Verdict::Partly(most, error) => {
                let most = most.min(bytes.len());
                self.file.write_all(&bytes[..most])?;
                error.map_or(Ok(most), Err)
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Appendable for FaultyFile {
    fn last_byte(&mut self) -> io::Result<Option<u8>> {
        self.disk.operate("look at", &self.path)?;
        self.file.last_byte()
    }

    fn length(&self) -> io::Result<u64> {
        self.file.length()
    }

    fn sync_data(&mut self) -> io::Result<()> {
        self.disk.operate("sync", &self.path)?;
        let length = fs::metadata(&self.path)?.len();
        self.disk.state().synced.insert(self.path.clone(), length);
        Ok(())
    }
}

struct FaultyStoredFile {
    disk: Faulty,
    path: PathBuf,
    file: Box<dyn StoredFile>,
}

impl Read for FaultyStoredFile {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match self.disk.verdict("read", &self.path) {
            Verdict::Work => self.file.read(bytes),
            Verdict::Partly(most, None) => {
                let most = most.min(bytes.len());
                self.file.read(&mut bytes[..most])
            }
            Verdict::Partly(_, Some(error)) => Err(error),
        }
    }
}

impl Seek for FaultyStoredFile {
    fn seek(&mut self, place: SeekFrom) -> io::Result<u64> {
        self.file.seek(place)
    }
}

impl StoredFile for FaultyStoredFile {
    fn metadata(&self) -> io::Result<Metadata> {
        self.file.metadata()
    }

    fn sync_data(&self) -> io::Result<()> {
        self.disk.operate("sync", &self.path)?;
        self.file.sync_data()?;
        let length = fs::metadata(&self.path)?.len();
        self.disk.state().synced.insert(self.path.clone(), length);
        Ok(())
    }
}
