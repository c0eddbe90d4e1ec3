//! The standard output sink: writes the lines themselves.

use std::io::{self, Write};

use super::batch::Batch;
use super::sink::{BatchAck, Sink, SinkError};
use super::undelivered::Undelivered;
use crate::env::Organization;

/// Writes whole lines; a batch is acknowledged when it is flushed.
#[derive(Debug)]
pub(crate) struct Output<W> {
    writer: W,
    /// Whose lines they are, which each of them says, if there are several organizations.
    organization: Option<Organization>,
    batch: Batch,
}

impl<W: Write + Send> Output<W> {
    /// Creates a sink that writes to `writer`.
    pub(crate) fn new(writer: W, organization: Option<Organization>) -> Self {
        Self {
            writer,
            organization,
            batch: Batch::default(),
        }
    }

    /// Writes whole lines, and adjacent ones at once: they are never cut by lines of another stream, and a write for each
    /// line would take longer than everything else.
    fn write(&mut self) -> io::Result<()> {
        if let Some(organization) = self.organization {
            self.writer.write_all(&self.named(organization))?;
        } else {
            for lines in self.batch.payloads() {
                self.writer.write_all(lines)?;
            }
        }
        self.writer.flush()
    }

    /// Returns the lines with the name of the organization in each.
    fn named(&self, organization: Organization) -> Vec<u8> {
        let mut text = Vec::new();
        for line in self.batch.lines() {
            let line = String::from_utf8_lossy(self.batch.payload(line));
            text.extend_from_slice(organization.named(&line).as_bytes());
            text.push(b'\n');
        }
        text
    }
}

impl<W: Write + Send> Sink for Output<W> {
    fn send(&mut self, batch: Batch) {
        self.batch = batch;
    }

    fn next_ack(&mut self, _: &mut Undelivered) -> BatchAck {
        let written = self.write();
        let ack = BatchAck::whole(std::mem::take(&mut self.batch));
        match written {
            Ok(()) => ack,
            Err(error) => BatchAck {
                done: 0,
                failure: Some(match error.kind() {
                    io::ErrorKind::BrokenPipe => SinkError::Closed,
                    _ => SinkError::Refused(format!("cannot write to standard output: {error}")),
                }),
                ..ack
            },
        }
    }
}
