//! The settings of one stream.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use super::limits::Limits;
use super::place::{self, Access, Place, StreamPlace};
use crate::env::{ConfigErrors, Env, file_mode};
use crate::source::{Kind, Source};

/// The permissions of what the program writes; the default lets a log agent in the same group read.
pub(super) const FILE_MODE: &str = "FILE_MODE";

/// Everything that one stream of this run needs.
#[derive(Clone)]
pub struct StreamSettings {
    /// Which kind of stream it is.
    pub kind: &'static Kind,
    /// Its service.
    pub source: Arc<dyn Source>,
    /// The folder of its day files, as it was set.
    pub folder: PathBuf,
    /// The first part of their names.
    pub base: String,
    /// The last part of their names, without the dot.
    pub extension: String,
    /// The permission bits of files that the program makes.
    pub file_mode: u32,
    /// How far and how patiently its service is asked.
    pub limits: Limits,
}

impl StreamSettings {
    /// Reads the settings of a stream that is switched on; `None` after a fault.
    pub(super) fn read(env: &Env, kind: &'static Kind, access: Access, errors: &mut ConfigErrors) -> Option<Self> {
        let mut own_errors = ConfigErrors::because(format!("{} is set", place::variable(env, kind, place::FOLDER)));
        let place = Place::read(env, kind, access, &mut own_errors);
        let extension = place::read_extension(env, &mut own_errors);
        let file_mode = env.or(FILE_MODE, "0640", file_mode, &mut own_errors);
        let limits = Limits::read(env, kind, &mut own_errors);
        let source = (kind.configure)(env, &mut own_errors);
        errors.append(own_errors);
        let place = place?;
        Some(Self {
            kind,
            source: source?,
            folder: place.folder,
            base: place.base,
            extension: extension?,
            file_mode: file_mode?,
            limits: limits?,
        })
    }
}

impl From<&StreamSettings> for StreamPlace {
    fn from(settings: &StreamSettings) -> Self {
        Self {
            kind: settings.kind,
            folder: settings.folder.clone(),
            base: settings.base.clone(),
            extension: settings.extension.clone(),
        }
    }
}

impl fmt::Debug for StreamSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamSettings")
            .field("stream", &self.kind.name)
            .field("folder", &self.folder)
            .field("base", &self.base)
            .field("extension", &self.extension)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}
