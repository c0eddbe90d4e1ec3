//! The wire: a model answers over a loopback socket, in HTTP/1.1 with connections that stay.

use std::io;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::service::{Answer, Model};

/// A model behind an address, until this is dropped.
pub(crate) struct Served {
    pub(crate) address: String,
    accepting: JoinHandle<()>,
}

/// The end of the head of a request.
const END: &[u8] = b"\r\n\r\n";

/// What the answers say of the time.
pub(crate) type Clock = fn(&Model) -> DateTime<Utc>;

impl Served {
    /// Serves a model on the runtime of the caller, with the `Date` of this clock.
    pub(crate) async fn start(model: Arc<Model>, clock: Clock) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let model = Arc::clone(&model);
                // A reader may hang up at any time.
                tokio::spawn(async move { talk(stream, &model, clock).await.ok() });
            }
        });
        Self { address, accepting }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Answers one request after the other, until either side ends it.
async fn talk(mut stream: TcpStream, model: &Model, clock: Clock) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut heard = Vec::new();
    while let Some(target) = next_target(&mut stream, &mut heard).await? {
        let answer = model.answer(&target);
        let date = clock(model).format("%a, %d %b %Y %H:%M:%S GMT");
        let (status, body) = match &answer {
            Answer::Page(body) | Answer::Cut(body) => (200, body),
            Answer::Error(status, body) => (*status, body),
            Answer::Nothing => return Ok(()),
        };
        let wait = if status == 429 { "Retry-After: 0\r\n" } else { "" };
        let head = format!(
            "HTTP/1.1 {status} -\r\nContent-Type: application/json\r\nDate: {date}\r\n{wait}Content-Length: {}\r\n\r\n",
            body.len()
        );
        if let Answer::Cut(body) = &answer {
            let half = &body[..body.len() / 2];
            return stream.write_all(&[head.as_bytes(), half].concat()).await;
        }
        stream.write_all(&[head.as_bytes(), body].concat()).await?;
    }
    Ok(())
}

/// The target of the next request; `None` if there is none.
async fn next_target(stream: &mut TcpStream, heard: &mut Vec<u8>) -> io::Result<Option<String>> {
    let end = loop {
        if let Some(at) = heard.windows(END.len()).position(|window| window == END) {
            break at;
        }
        if stream.read_buf(heard).await? == 0 {
            return Ok(None);
        }
    };
    let head: Vec<u8> = heard.drain(..end + END.len()).collect();
    let head = String::from_utf8_lossy(&head);
    Ok(head.split(' ').nth(1).map(str::to_owned))
}
