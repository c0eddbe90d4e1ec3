//! The standard output sink: writes the lines themselves.

use std::io::{self, Write};

use super::batch::Batch;
use super::sink::{BatchAck, Sink, SinkError};
use super::undelivered::Undelivered;

/// Writes whole lines; a batch is acknowledged when it is flushed.
#[derive(Debug)]
pub(crate) struct Output<W> {
    writer: W,
    batch: Batch,
}

impl<W: Write + Send> Output<W> {
    /// Creates a sink that writes to `writer`.
    pub(crate) fn new(writer: W) -> Self {
        Self {
            writer,
            batch: Batch::default(),
        }
    }

    /// Writes whole lines, and adjacent ones at once: they are never cut by lines of another stream, and a write for each
    /// line would take longer than everything else.
    fn write(&mut self) -> io::Result<()> {
        for lines in self.batch.payloads() {
            self.writer.write_all(lines)?;
        }
        self.writer.flush()
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
