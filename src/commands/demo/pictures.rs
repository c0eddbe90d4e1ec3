//! What the demo prints of the day files and of the topics.

use std::collections::HashSet;
use std::fmt::Write;

use super::{DemoError, topic};
use crate::archive::DayFile;
use crate::config::StreamSettings;
use crate::forward::kafka::MockKafka;
use crate::output::printable::excerpt;

/// How many day files of a stream are shown from each end.
const SHOWN: usize = 2;

/// How many characters of a line are shown.
const LINE_WIDTH: usize = 98;

/// Describes what each topic holds, compared with the day files.
pub(super) fn topics(kafka: &MockKafka, streams: &[StreamSettings]) -> Result<String, DemoError> {
    let mut text = String::new();
    let names: Vec<_> = streams.iter().map(topic).collect();
    let mut held = kafka.consume(&names)?;
    for (settings, name) in streams.iter().zip(names) {
        let messages = held.remove(&name).unwrap_or_default();
        let distinct: HashSet<_> = messages.iter().collect();
        let mut missing = 0;
        for file in settings.location.day_files()? {
            file.lines(|line| missing += usize::from(!distinct.contains(&line.as_bytes().to_vec())))?;
        }
        let repeated = messages.len() - distinct.len();
        let _ = writeln!(
            text,
            "{name:<12} {} messages, {repeated} of them twice, {missing} lines missing",
            messages.len()
        );
    }
    Ok(text)
}

/// Describes each stream's folder: its first and last day files, and the number of lines.
pub(super) fn tree(streams: &[StreamSettings]) -> Result<String, DemoError> {
    let mut text = String::new();
    for settings in streams {
        let files = settings.location.day_files()?;
        let (lines, distinct) = count_lines(&files)?;
        let repeated = lines - distinct;
        let _ = writeln!(
            text,
            "{}/  {} files, {lines} lines, {repeated} of them twice",
            settings.kind.name,
            files.len()
        );
        let hidden = files.len().saturating_sub(2 * SHOWN);
        for (index, file) in files.iter().enumerate() {
            let name = file.path.file_name().unwrap_or_default().to_string_lossy();
            match index {
                _ if index < SHOWN || index >= SHOWN + hidden => drop(writeln!(text, "  {name}")),
                SHOWN => drop(writeln!(text, "  … {hidden} more")),
                _ => {}
            }
        }
    }
    Ok(text)
}

/// Returns the first line of the last day file of each stream.
pub(super) fn one_line_of_each(streams: &[StreamSettings]) -> Result<String, DemoError> {
    let mut text = String::new();
    for settings in streams {
        if let Some(file) = settings.location.day_files()?.last() {
            let line = file.first_behind(0, |line| Some(excerpt(line, LINE_WIDTH)))?;
            let _ = writeln!(text, "{}", line.unwrap_or_default());
        }
    }
    Ok(text)
}

fn count_lines(files: &[DayFile]) -> Result<(usize, usize), DemoError> {
    let (mut lines, mut distinct) = (0, HashSet::new());
    for file in files {
        file.lines(|line| {
            lines += 1;
            distinct.insert(line.to_owned());
        })?;
    }
    Ok((lines, distinct.len()))
}
