//! Compresses what tests take for the work of another program.

use std::fs;
use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use ruzstd::encoding::{CompressionLevel, compress_to_vec};

use super::Catalog;
pub(crate) use crate::archive::seekable;

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub(crate) fn zstandard(bytes: &[u8]) -> Vec<u8> {
    compress_to_vec(bytes, CompressionLevel::Fastest)
}

impl Catalog {
    /// Writes what this program writes where it packs the file of a day, part by part.
    pub(crate) fn write_packed_by_us(&self, day: &str, parts: &[&str]) {
        let folder = self.location.folder().join("packed");
        let _ = fs::create_dir(&folder);
        fs::write(folder.join(format!("mail_{day}.log.zst")), seekable(parts)).unwrap();
    }

    /// Writes what stands where another program has compressed the file of a day.
    pub(crate) fn write_packed(&self, day: &str, suffix: &str, bytes: Vec<u8>) {
        fs::write(self.location.folder().join(format!("mail_{day}.log{suffix}")), bytes).unwrap();
    }
}
