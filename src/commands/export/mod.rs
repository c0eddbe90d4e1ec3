//! `trailkeeper export`: a bundle of the records that a query finds, for somebody else. It takes no lock, needs no token and writes
//! nothing in an archive.
//!
//! `docs/json.md` has the form of `--json`, and of the manifest.

mod outcome;

use std::ops::Range;
use std::path::PathBuf;

use chrono::{DateTime, Utc};
use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};

use super::archives::Archives;
use super::arguments::filters::Filters;
use super::arguments::range::range;
use super::arguments::selection::Selection;
use super::arguments::time::TimeArg;
use super::error::CommandError;
use super::outcome::{print_json, print_text};
use crate::config::EvidenceSettings;
use crate::env::ConfigErrors;
use crate::evidence::bundle_prover::BundleProver;
use crate::evidence::folder::Folder;
use crate::export::{AskedQuery, Bundle, ExportError, Format, Part, Proofs};
use crate::fs::NewFolder;
use crate::output::csv::Csv;
use crate::process::exit::Exit;
use crate::process::host_name::host_name;
use crate::process::signals;
use crate::search::{Files, Finder, Order, Place};
use crate::window::{Window, floor_to_millisecond};
use outcome::Exported;

pub(super) const EXAMPLES: &str = "\
Examples:
  trailkeeper export --since 2025-06-09 --until 2025-06-10 --to incident-7
  trailkeeper export --since 30d --user a.petrova@example.org --to petrova --format csv --bom
  trailkeeper export --since 2025-01-01 --stream tfc --to tfc --format parquet --fail-on-gaps

Exit codes: 0 written, whether something was found or not, 3 if something could not be read, or with --fail-on-gaps if something is missing.";

#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Arguments {
    /// Records of this time or later: a time, a date, or an age such as 36h
    #[arg(long, value_name = "TIME")]
    since: TimeArg,

    /// Records before this time, which is not included [default: now]
    #[arg(long, value_name = "TIME")]
    until: Option<TimeArg>,

    /// The folder to write to, which has to be new or empty
    #[arg(long, value_name = "DIR")]
    to: PathBuf,

    /// The form of the records
    #[arg(long, value_name = "FORM", default_value = "ndjson", value_parser = format())]
    format: Format,

    /// CSV for Excel: a byte-order mark, by which it knows UTF-8, and a `'` before what it would take for a formula
    #[arg(long)]
    bom: bool,

    /// Exit with 3 if something of the time is missing that is not accepted, or not known to be there
    #[arg(long)]
    fail_on_gaps: bool,

    #[command(flatten)]
    filters: Filters,

    #[command(flatten)]
    pub(super) selection: Selection,
}

fn format() -> impl TypedValueParser<Value = Format> {
    PossibleValuesParser::new(Format::NAMES).try_map(|name| Format::of(&name))
}

impl Arguments {
    fn times(&self, now: DateTime<Utc>) -> Result<Range<DateTime<Utc>>, CommandError> {
        let until = self.until.map_or(now, |until| until.resolve(now));
        range(self.since.resolve(now), until).map_err(CommandError::usage)
    }

    fn format(&self) -> Result<Format, CommandError> {
        match (self.format, self.bom) {
            (Format::Csv(_), true) => Ok(Format::Csv(Csv::ForExcel)),
            (_, true) => Err(CommandError::usage("--bom is for --format csv")),
            (format, false) => Ok(format),
        }
    }
}

/// Writes the bundle.
pub(crate) fn run(arguments: &Arguments, clock: fn() -> DateTime<Utc>) -> Result<Exit, CommandError> {
    let (selection, now) = (&arguments.selection, floor_to_millisecond(clock()));
    let (times, format) = (arguments.times(now)?, arguments.format()?);
    let query = arguments.filters.query(times.clone()).map_err(CommandError::usage)?;
    let archives = Archives::find_showing(selection, clock)?;
    archives.check_outside(&arguments.to)?;
    let folder = NewFolder::make(&arguments.to)?;
    let span = Window {
        from: times.start,
        to: times.end,
    };
    let span = (span, arguments.until.is_none());
    // What the journal says is read before the files are listed, which hold at least as much.
    let parts = archives.streams.iter();
    let parts = parts.map(|place| Part::begin(place, archives.scope_of(place.kind).as_ref(), span, now));
    let parts = parts.collect();
    let proofs = proofs(&archives, format)?;
    // From here on something is left behind if it ends.
    let shutdown = signals::shutdown();
    let finder = Finder {
        query: &query,
        order: Order::OldestFirst,
        limit: None,
        // A bundle says how complete it is.
        checks_all: true,
        shutdown: Some(&shutdown),
    };
    let places = archives.streams.iter().map(|place| Place {
        kind: place.kind,
        location: &place.location,
    });
    let files = Files::list(&query.times, finder.order, places);
    let progress = archives.reading_bytes("export", files.bytes());
    let bundle = Bundle {
        folder,
        format,
        asked: AskedQuery {
            since: times.start,
            until: times.end,
            filters: arguments.filters.asked(),
        },
        parts,
        proofs,
        host: host_name().unwrap_or_default(),
        shutdown: &shutdown,
        now,
    };
    let written = bundle.write(&finder, &files, &progress);
    drop(progress);
    let manifest = written.map_err(|error| match error {
        ExportError::Interrupted => CommandError::interrupted(error),
        error => CommandError::setup(error),
    })?;
    let exported = Exported::of(&arguments.to, &manifest, arguments.fail_on_gaps);
    exported.log_missing();
    if selection.json {
        print_json(selection.settings.organization(), &exported)?;
    } else {
        print_text(selection.verbosity, || exported.text())?;
    }
    Ok(exported.exit())
}

/// Returns what proves the records, where the archive is sealed and the records are its lines.
fn proofs(archives: &Archives, format: Format) -> Result<Option<Proofs>, CommandError> {
    let mut errors = ConfigErrors::default();
    let evidence = EvidenceSettings::read(&archives.env, &mut errors);
    let Some(evidence) = evidence.filter(|_| format == Format::Ndjson) else {
        return Ok(None);
    };
    match BundleProver::read(&Folder::new(&evidence.folder))? {
        Ok(prover) => {
            let places = archives.streams.iter();
            let locations = places.map(|place| (place.kind.name, place.location.clone()));
            let locations = locations.collect();
            Ok(Some(Proofs { prover, locations }))
        }
        Err(problem) => {
            tracing::warn!("the bundle has no proofs: {problem}");
            Ok(None)
        }
    }
}
