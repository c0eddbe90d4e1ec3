//! The arguments of `audit`, and what they name: the evidence, the archive and the services.

use std::num::NonZeroU64;
use std::path::PathBuf;

use chrono::{DateTime, Utc};
use clap::Args;

use super::Subject;
use crate::audit::draw::random_nonce;
use crate::commands::archives::Archives;
use crate::commands::arguments::selection::Selection;
use crate::commands::arguments::settings::SettingsArguments;
use crate::commands::arguments::stream_folder::stream_folder;
use crate::commands::arguments::stream_name;
use crate::commands::arguments::time::TimeArg;
use crate::commands::error::CommandError;
use crate::commands::seal::evidence_settings;
use crate::config::{self, StreamPlace};
use crate::evidence::folder::Folder;
use crate::evidence::stream_files::StreamFiles;
use crate::output::logging::{Log, LogOptions, Verbosity};
use crate::output::printable::printable;
use crate::output::progress::Progress;
use crate::source::SOURCES;

#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Arguments {
    /// How many hours to draw, of all streams together
    #[arg(long, value_name = "N")]
    pub(super) sample: NonZeroU64,

    /// What the hours are drawn with, beside the root of the log: chosen by the auditor, after the checkpoint was signed
    /// [default: 128 random bits]
    #[arg(long, value_name = "TEXT")]
    pub(super) nonce: Option<String>,

    /// Draw from hours that begin at this time or later [default: what the service still has]
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub(super) since: Option<TimeArg>,

    /// Draw from hours that end at this time or before [default: what is sealed]
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub(super) until: Option<TimeArg>,

    /// Trust the keys in this policy (C2SP tlog-policy), and not what the operator has put into the evidence folder
    #[arg(long, value_name = "FILE")]
    pub(super) policy: Option<PathBuf>,

    /// A checkpoint that was kept elsewhere: what it says has to be true still
    #[arg(long, value_name = "FILE")]
    pub(super) checkpoint: Option<PathBuf>,

    /// Refuse evidence whose newest entry is older than this time
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub(super) at: Option<TimeArg>,

    /// Take what was acknowledged as broken for no reason to refuse
    #[arg(long)]
    pub(super) accept_broken: bool,

    /// The evidence folder, where the settings of the collector are not known
    #[arg(long, value_name = "DIR", requires = "files")]
    pub(super) evidence_folder: Option<PathBuf>,

    /// The catalog of a stream, or a copy of it, where the settings of the collector are not known
    #[arg(long, value_name = "STREAM=DIR", requires = "evidence_folder", value_parser = stream_folder)]
    pub(super) files: Vec<(String, PathBuf)>,

    /// Sign the page with this key of the auditor, which `evidence keygen --name` has made
    #[arg(long, value_name = "FILE")]
    pub(super) key: Option<PathBuf>,

    /// Write the page to this file too, replacing an older one
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,

    /// Only these streams [default: all that are switched on, or that --files names]
    #[arg(long = "stream", value_name = "NAME", value_delimiter = ',', value_parser = stream_name::parser())]
    pub(super) streams: Vec<String>,

    /// Print JSON instead of the page
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) settings: SettingsArguments,

    #[command(flatten)]
    pub(crate) verbosity: Verbosity,
}

pub(in crate::commands) const EXAMPLES: &str = "\
Examples:
  trailkeeper audit --sample 30 --nonce dice-4-2-6 --policy auditor.policy
  trailkeeper audit --sample 30 --policy auditor.policy --evidence-folder evidence --files tfc=tfc
  trailkeeper audit --sample 30 --policy auditor.policy --key auditor.key --out audit.page

The settings have the auditor's token. It asks the services, writes nothing into the archive and takes no lock. Exit codes: 0 no
difference that is not explained, 3 a difference, an hour that the service does not prove, or evidence that is not believed.";

impl Arguments {
    /// Returns what the hours are drawn with.
    pub(super) fn nonce(&self) -> Result<String, CommandError> {
        match &self.nonce {
            None => random_nonce().ok_or_else(|| CommandError::setup("the system has no random numbers for a nonce")),
            // The page shows it, and somebody else types it off.
            Some(nonce) if nonce.trim() != nonce || nonce.is_empty() || printable(nonce) != nonce.as_str() => Err(
                CommandError::usage("--nonce must be a text of one line, of characters that are seen"),
            ),
            Some(nonce) => Ok(nonce.clone()),
        }
    }

    /// Finds the evidence, the archive and the services, and starts the log on stderr.
    pub(super) fn subject(&self, log: &Log, clock: fn() -> DateTime<Utc>) -> Result<Subject, CommandError> {
        match &self.evidence_folder {
            Some(folder) => self.named_subject(Folder::new(folder), log, clock),
            None => self.configured_subject(clock),
        }
    }

    /// Where the arguments name everything but the token.
    fn named_subject(&self, folder: Folder, log: &Log, clock: fn() -> DateTime<Utc>) -> Result<Subject, CommandError> {
        let progress = Progress::unless_quiet(self.verbosity.quiet);
        let env = self.settings.load();
        // Of organizations it was started for all of them.
        if env.organization().is_none() {
            log.start(LogOptions::on_stderr(self.verbosity, &progress, clock))?;
        }
        let wanted = |stream: &str| self.streams.is_empty() || self.streams.iter().any(|only| only == stream);
        let (mut places, mut files) = (Vec::new(), Vec::<StreamFiles>::new());
        for (stream, folder) in self.files.iter().filter(|(stream, _)| wanted(stream)) {
            let Some(kind) = SOURCES.iter().find(|kind| kind.name == stream) else {
                return Err(CommandError::usage(format!("--files: no stream has the name {stream}")));
            };
            if files.iter().any(|files| files.stream == *stream) {
                let problem = format!("--files: {stream} has a folder already: name each stream once");
                return Err(CommandError::usage(problem));
            }
            places.push(StreamPlace::of_files(kind, folder));
            files.push(StreamFiles {
                stream: stream.clone(),
                folder: folder.clone(),
                location: None,
            });
        }
        if files.is_empty() {
            return Err(CommandError::usage(
                "--stream names no stream that --files has a folder of",
            ));
        }
        let settings = config::streams_at(&env, places)?;
        let streams = settings.into_iter().zip(files).collect();
        Ok(Subject {
            folder,
            streams,
            catalogs: Vec::new(),
            progress,
        })
    }

    /// Where the settings name everything.
    fn configured_subject(&self, clock: fn() -> DateTime<Utc>) -> Result<Subject, CommandError> {
        let selection = Selection {
            streams: self.streams.clone(),
            settings: self.settings.clone(),
            verbosity: self.verbosity,
            json: self.json,
        };
        let archives = Archives::find_showing(&selection, clock)?;
        let evidence = evidence_settings(&archives.env, &archives.streams)?;
        let files: Vec<_> = archives.streams.iter().map(StreamFiles::of).collect();
        let catalogs = archives.catalogs();
        let settings = config::streams_at(&archives.env, archives.streams)?;
        Ok(Subject {
            catalogs,
            folder: Folder::new(&evidence.folder),
            streams: settings.into_iter().zip(files).collect(),
            progress: Progress::unless_quiet(self.verbosity.quiet),
        })
    }
}
