//! `STREAM=DIR`: where the files of a stream are.

use std::path::PathBuf;

/// Parses it; the error shows the form.
pub(crate) fn stream_folder(text: &str) -> Result<(String, PathBuf), String> {
    match text.split_once('=') {
        Some((stream, folder)) if !stream.is_empty() && !folder.is_empty() => Ok((stream.to_owned(), folder.into())),
        _ => Err("expected the name of a stream, `=`, and its folder".to_owned()),
    }
}
