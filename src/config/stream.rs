//! The settings of one stream.

use std::fmt;
use std::sync::Arc;

use chrono::TimeDelta;

use super::limits::Limits;
use super::place::{self, StreamPlace};
use super::proxies;
use crate::archive::Location;
use crate::env::{ConfigErrors, DefaultValue, Env, Organization, Scope, Setting, Variable, file_mode};
use crate::http::Proxies;
use crate::source::{Kind, Source};

pub(super) const FILE_MODE: Setting<u32> = Setting {
    variable: Variable {
        name: "FILE_MODE",
        scope: Scope::Program,
        default: DefaultValue::Text("0640"),
        example: None,
        doc: "The permissions of the files that trailkeeper creates, in octal; 0600 to 0777. The default lets a log agent in the same \
              group read them.",
    },
    parse: file_mode,
};

/// Everything that one stream of this run needs.
#[derive(Clone)]
pub struct StreamSettings {
    /// Which kind of stream it is.
    pub(crate) kind: &'static Kind,
    /// Whose it is, if the installation has several organizations.
    pub(crate) organization: Option<Organization>,
    /// Its service.
    pub source: Arc<dyn Source>,
    /// Where its day files are.
    pub(crate) location: Location,
    /// After this time a day file may be missing; `KEEP_DAYS`.
    pub(crate) keep: Option<TimeDelta>,
    /// The permission bits of new files.
    pub(crate) file_mode: u32,
    /// How far and how often its service is asked.
    pub(crate) limits: Limits,
    /// Whether runs are sealed.
    pub(crate) is_sealed: bool,
    /// Through which proxies; all streams have the same.
    pub(crate) proxies: Proxies,
}

impl StreamSettings {
    /// Reads the settings of a stream that is switched on; `None` after an error.
    pub(super) fn read(env: &Env, kind: &'static Kind, errors: &mut ConfigErrors) -> Option<Self> {
        let place = StreamPlace::read(env, kind, errors);
        let mut own_errors = place::required_by(env, kind);
        let settings = Self::read_beside(env, place, kind, &mut own_errors);
        errors.append(own_errors);
        settings
    }

    /// Reads the settings of a stream whose archive is elsewhere than they say, or of which they say nothing; `None` after an error.
    pub(super) fn read_at(env: &Env, place: StreamPlace, errors: &mut ConfigErrors) -> Option<Self> {
        let mut own_errors = ConfigErrors::because(format!("{} is to be asked again", place.kind.name));
        let kind = place.kind;
        let settings = Self::read_beside(env, Some(place), kind, &mut own_errors);
        errors.append(own_errors);
        settings
    }

    /// Reads everything but the place.
    pub(super) fn read_beside(
        env: &Env,
        place: Option<StreamPlace>,
        kind: &'static Kind,
        errors: &mut ConfigErrors,
    ) -> Option<Self> {
        let file_mode = env.or_default(&FILE_MODE, errors);
        let limits = Limits::read(env, kind, errors);
        let source = (kind.configure)(env, errors);
        let proxies = proxies::read(env, errors);
        let place = place?;
        Some(Self {
            kind,
            organization: env.organization(),
            source: source?,
            location: place.location,
            keep: place.keep,
            file_mode: file_mode?,
            limits: limits?,
            is_sealed: false,
            proxies,
        })
    }
}

impl StreamSettings {
    /// Returns its name in all that is shown; see [`StreamPlace::name`].
    #[must_use]
    pub(crate) fn name(&self) -> &'static str {
        self.kind.name_of(self.organization)
    }

    /// Returns where the stream is kept.
    #[must_use]
    pub(crate) fn place(&self) -> StreamPlace {
        StreamPlace {
            kind: self.kind,
            organization: self.organization,
            location: self.location.clone(),
            keep: self.keep,
        }
    }
}

impl fmt::Debug for StreamSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamSettings")
            .field("stream", &self.name())
            .field("location", &self.location)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}
