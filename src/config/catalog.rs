//! Where one stream keeps its day files, for commands that ask no service.

use std::path::PathBuf;

use super::place::{self, Access, Place};
use super::stream::StreamSettings;
use crate::env::{Env, Faults};
use crate::source::Kind;

/// The day files of one stream.
#[derive(Clone, Debug)]
pub struct Catalog {
    /// Which kind of stream it is.
    pub kind: &'static Kind,
    /// The folder of its day files, as it was set.
    pub folder: PathBuf,
    /// The first part of their names.
    pub base: String,
    /// The last part of their names, without the dot.
    pub extension: String,
}

impl Catalog {
    /// Reads where a stream that is switched on is kept; `None` after a fault.
    pub(super) fn read(env: &Env, kind: &'static Kind, access: Access, faults: &mut Faults) -> Option<Self> {
        let mut own_faults = Faults::because(format!("{} is set", place::variable(env, kind, place::FOLDER)));
        let place = Place::read(env, kind, access, &mut own_faults);
        let extension = place::read_extension(env, &mut own_faults);
        faults.append(own_faults);
        let place = place?;
        Some(Self {
            kind,
            folder: place.folder,
            base: place.base,
            extension: extension?,
        })
    }
}

impl From<&StreamSettings> for Catalog {
    fn from(settings: &StreamSettings) -> Self {
        Self {
            kind: settings.kind,
            folder: settings.folder.clone(),
            base: settings.base.clone(),
            extension: settings.extension.clone(),
        }
    }
}
