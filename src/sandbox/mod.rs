//! A stand-in for the services, to try the program with and for its tests.
//!
//! Imports: nothing.
//! Imported by: commands::demo, commands::sandbox.
//!
//! It answers over real sockets as the services do: order, paging, bounds, tokens, error bodies, retention and rate
//! limits. It shares no code with the collector, so that neither can hide the other's mistakes.
//!
//! Below, a module imports only from those above it. A new service is a file beside `yandex.rs` and three lines in
//! `api.rs`.

mod http;
mod json;
mod random;
mod event;
mod generate;
mod behavior;
mod minted_token;
mod rate_limit;
mod feed;
mod service;
mod yandex;
mod yandex_audit;
mod port;
mod terraform;
mod api;
mod script;
mod fault;
mod options;
mod tenant;
mod state;
mod serve;

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::JoinHandle;

pub use api::{Api, samples};
pub use behavior::{ARRIVALS, LastPage, PortLogin, Records, Sequence, StreamOptions};
pub use event::Event;
pub(crate) use fault::Fault;
pub(crate) use generate::SampleError;
pub use http::Answer;
pub use options::{Clock, Options};
pub use script::{Action, Seen, Step, When};
use state::SharedState;

/// How long [`Sandbox::stop`] waits for answers that are being sent.
const STOP_TIMEOUT: Duration = Duration::from_secs(1);

/// A sandbox that could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address is in use, or is not one of this machine.
    #[error("cannot listen on {listen}: {source}; choose another address, or port 0 for a free one")]
    Listen {
        /// The address that was asked for.
        listen: SocketAddr,
        /// The error of the system.
        source: io::Error,
    },
    /// A sample page that records are made from cannot be read.
    #[error("cannot make records: {0}; please report it")]
    Sample(#[from] SampleError),
    /// The system cannot start another thread.
    #[error("cannot start a thread for the sandbox: {0}")]
    Thread(#[source] io::Error),
}

/// A running sandbox; it stops when dropped.
pub struct Sandbox {
    shared: Arc<SharedState>,
    addr: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    task: Option<JoinHandle<io::Result<()>>>,
}

impl Sandbox {
    /// Starts on the runtime of the caller.
    ///
    /// # Errors
    ///
    /// If the address cannot be listened on.
    #[expect(
        clippy::unused_async,
        reason = "says that a runtime is needed, and that the listener belongs to it"
    )]
    pub(crate) async fn start(options: Options) -> Result<Self, StartError> {
        let listen = options.listen;
        let (listener, addr) = bind(listen)?;
        let listener =
            tokio::net::TcpListener::from_std(listener).map_err(|source| StartError::Listen { listen, source })?;
        let shared = Arc::new(SharedState::new(options)?);
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(serve::serve(listener, Arc::clone(&shared), stopped));
        Ok(Self {
            shared,
            addr,
            stop: Some(stop),
            task: Some(task),
        })
    }

    /// Starts on a thread of its own, for a caller without a runtime or that blocks.
    ///
    /// # Errors
    ///
    /// If the address cannot be listened on, or no thread can be started.
    pub fn start_on_thread(options: Options) -> Result<Self, StartError> {
        let (listener, addr) = bind(options.listen)?;
        let shared = Arc::new(SharedState::new(options)?);
        let (stop, stopped) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(StartError::Thread)?;
        let served = Arc::clone(&shared);
        let serve = async move { serve::serve(tokio::net::TcpListener::from_std(listener)?, served, stopped).await };
        std::thread::Builder::new()
            .name("sandbox".into())
            .spawn(move || runtime.block_on(serve))
            .map_err(StartError::Thread)?;
        Ok(Self {
            shared,
            addr,
            stop: Some(stop),
            task: None,
        })
    }

    /// Returns the address that it listens on.
    #[cfg(test)]
    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Returns the base URL of all services, without a slash at its end.
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Returns the environment variables that point the collector at it, with the credentials.
    pub fn variables(&self) -> Vec<(String, String)> {
        let (url, login) = (self.url(), self.shared.options().port_login);
        let mut variables: Vec<(String, String)> = Vec::new();
        for (name, value) in Api::ALL
            .into_iter()
            .flat_map(|api| (api.service().variables)(&url, login))
        {
            // Services of one vendor share their credentials.
            if !variables.iter().any(|(known, _)| known == name) {
                variables.push((name.to_owned(), value));
            }
        }
        variables
    }

    /// Returns every request so far, in order.
    pub fn requests(&self) -> Vec<Seen> {
        self.shared.seen()
    }

    /// Returns the number of requests for the audit log of an API, without those that mint tokens.
    pub fn request_count(&self, api: Api) -> usize {
        self.shared.count(api)
    }

    /// Returns every record of a stream that has appeared and was not dropped, oldest first, also those past retention.
    pub fn events(&self, api: Api) -> Vec<Event> {
        self.shared.events(api)
    }

    /// Adds records of any time.
    pub fn add(&self, api: Api, events: Vec<Event>) {
        self.shared.add(api, events);
    }

    /// Drops the oldest records of a stream.
    #[cfg(test)]
    pub(crate) fn drop_oldest(&self, api: Api, count: usize) {
        self.shared.drop_oldest(api, count);
    }

    /// Adds a step to the script; requests are counted from the start of the sandbox.
    pub fn step(&self, step: Step) {
        self.shared.step(step);
    }

    /// Stops listening, finishes the answers being sent, and returns once the port is free.
    pub async fn stop(mut self) {
        self.stop.take();
        if let Some(mut task) = self.task.take()
            && tokio::time::timeout(STOP_TIMEOUT, &mut task).await.is_err()
        {
            task.abort();
        }
    }
}

impl fmt::Debug for Sandbox {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Sandbox")
            .field("addr", &self.addr)
            .finish_non_exhaustive()
    }
}

fn bind(listen: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    let open = || {
        let listener = TcpListener::bind(listen)?;
        listener.set_nonblocking(true)?;
        let addr = listener.local_addr()?;
        Ok((listener, addr))
    };
    open().map_err(|source| StartError::Listen { listen, source })
}

#[cfg(test)]
mod tests;
