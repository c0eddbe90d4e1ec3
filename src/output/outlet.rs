//! A pipe or terminal that may have no reader: what goes there is queued, and a thread of its own writes it, so that
//! nothing waits for whoever reads.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// The most texts that wait: more than a run says while somebody looks for the key that lets the terminal go on.
const LONGEST_QUEUE: usize = 8_192;

/// How long the end waits for a reader; service managers wait longer for a process to end.
const READER_TIMEOUT: Duration = Duration::from_secs(5);

/// How long the thread waits for room where the starter of the program has made writing not wait (`O_NONBLOCK`).
const REST: Duration = Duration::from_millis(10);

/// The queue before a writer; clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Outlet(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    has_changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<String>,
    is_writing: bool,
    /// Texts that found the queue full.
    dropped: u64,
    /// Of these, those that the reader was told of.
    told: u64,
    /// The error that kept the last text from being written.
    error: Option<io::Error>,
    /// Nobody read what was left at the end.
    is_given_up: bool,
    /// The other end was closed.
    is_closed: bool,
}

/// Something did not arrive.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OutletError {
    /// Writing failed.
    #[error(transparent)]
    Write(#[from] io::Error),
    /// The reader is too slow, or reads nothing.
    #[error("nobody reads it, so {0} lines are lost")]
    Unread(u64),
}

impl Outlet {
    /// Starts the thread that writes there.
    pub(crate) fn new(writer: impl Write + Send + 'static) -> Self {
        let outlet = Self(Arc::default());
        let shared = Arc::clone(&outlet.0);
        let thread = thread::Builder::new().name("outlet".to_owned());
        if let Err(error) = thread.spawn(move || shared.keep_writing(writer)) {
            let mut state = outlet.0.lock();
            state.error = Some(error);
            state.is_given_up = true;
        }
        outlet
    }

    /// Queues a text, or drops and counts it if the queue is full.
    pub(crate) fn offer(&self, text: String) {
        let mut state = self.0.lock();
        if state.is_given_up || state.waiting.len() >= LONGEST_QUEUE {
            state.dropped += 1;
            return;
        }
        state.waiting.push_back(text);
        self.0.has_changed.notify_all();
    }

    /// Waits until everything is written, or gives up on a reader that reads nothing; later calls do not wait again.
    ///
    /// # Errors
    /// Something was not written since the last call.
    pub(crate) fn drain(&self) -> Result<(), OutletError> {
        let is_busy = |state: &mut State| !state.is_given_up && (state.is_writing || !state.waiting.is_empty());
        let waited = self
            .0
            .has_changed
            .wait_timeout_while(self.0.lock(), READER_TIMEOUT, is_busy);
        let (mut state, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
        if timeout.timed_out() {
            state.is_given_up = true;
            state.dropped += state.waiting.len() as u64 + u64::from(state.is_writing);
            state.waiting.clear();
        }
        state.outcome()
    }

    /// Returns whether the reader went away, as `head` does: that is no error.
    pub(crate) fn is_closed(&self) -> bool {
        self.0.lock().is_closed
    }

    /// Returns what was not written since the last call.
    ///
    /// # Errors
    /// There is something.
    pub(crate) fn check(&self) -> Result<(), OutletError> {
        self.0.lock().outcome()
    }
}

impl State {
    fn outcome(&mut self) -> Result<(), OutletError> {
        let unread = self.dropped - self.told;
        self.told = self.dropped;
        match self.error.take() {
            // That the reader went away, as `head` does, is no error.
            Some(error) if error.kind() != ErrorKind::BrokenPipe => Err(error.into()),
            _ if unread > 0 => Err(OutletError::Unread(unread)),
            _ => Ok(()),
        }
    }
}

impl Shared {
    fn keep_writing(&self, mut writer: impl Write) -> ! {
        loop {
            let mut state = self.lock();
            state.is_writing = false;
            self.has_changed.notify_all();
            let waited = self.has_changed.wait_while(state, |state| state.waiting.is_empty());
            let mut state = waited.unwrap_or_else(PoisonError::into_inner);
            let texts = std::mem::take(&mut state.waiting);
            state.is_writing = true;
            drop(state);
            let outcome = texts
                .iter()
                .try_for_each(|text| write_all(&mut writer, text.as_bytes()));
            if let Err(error) = outcome.and_then(|()| writer.flush()) {
                let mut state = self.lock();
                state.is_closed |= error.kind() == ErrorKind::BrokenPipe;
                state.error = Some(error);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic while it was held cannot leave it half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes all of it, and waits where the writer would rather not.
#[expect(clippy::disallowed_methods, reason = "the thread of an outlet may block")]
fn write_all(writer: &mut impl Write, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match writer.write(bytes) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(REST),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;
    use crate::test_support::bound::PATIENCE;

    /// A writer whose reader takes each text when it wants to.
    struct Slow {
        texts: Sender<Vec<u8>>,
        may_go_on: Receiver<()>,
    }

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.texts.send(bytes.to_vec());
            self.may_go_on.recv().map_err(io::Error::other)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn slow() -> (Outlet, Receiver<Vec<u8>>, Sender<()>) {
        let (texts, read) = channel();
        let (go_on, may_go_on) = channel();
        (Outlet::new(Slow { texts, may_go_on }), read, go_on)
    }

    #[test]
    fn everything_is_written_in_its_order_by_the_end() {
        let (outlet, read, go_on) = slow();
        for number in 0..100 {
            outlet.offer(number.to_string());
            go_on.send(()).unwrap();
        }
        outlet.drain().unwrap();
        let texts: Vec<_> = read.try_iter().map(|text| String::from_utf8(text).unwrap()).collect();
        assert_eq!(texts, (0..100).map(|number| number.to_string()).collect::<Vec<_>>());
    }

    #[test]
    fn what_finds_no_room_is_dropped_and_counted_once() {
        let (outlet, read, go_on) = slow();
        outlet.offer("first".to_owned());
        read.recv_timeout(PATIENCE).unwrap();
        for _ in 0..LONGEST_QUEUE + 3 {
            outlet.offer("more".to_owned());
        }
        assert!(matches!(outlet.check(), Err(OutletError::Unread(3))));
        (0..=LONGEST_QUEUE).for_each(|_| go_on.send(()).unwrap());
        outlet.drain().unwrap();
    }

    #[test]
    fn an_error_is_told_once_and_what_follows_is_tried_again() {
        let (outlet, read, go_on) = slow();
        outlet.offer("lost".to_owned());
        read.recv_timeout(PATIENCE).unwrap();
        drop(go_on);
        assert!(matches!(outlet.drain(), Err(OutletError::Write(_))));
        outlet.drain().unwrap();
        outlet.offer("lost too".to_owned());
        assert!(outlet.drain().is_err());
    }

    #[test]
    fn a_writer_that_would_not_wait_is_waited_for() {
        struct NeverTwice(bool, Vec<u8>);
        impl Write for NeverTwice {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0 = !self.0;
                if self.0 {
                    return Err(ErrorKind::WouldBlock.into());
                }
                self.1.push(bytes[0]);
                Ok(1)
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut writer = NeverTwice(false, Vec::new());
        write_all(&mut writer, b"all").unwrap();
        assert_eq!(writer.1, b"all");
    }
}
