//! A loopback proxy between librdkafka and the fake broker, whose versions of `EndTxn` do not meet: version 1 goes in
//! and version 3 comes out, and the answer back. The layouts are those of <https://kafka.apache.org/protocol.html>.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

/// The API key of `EndTxn`.
const END_TXN: i16 = 26;

/// The correlation ids of requests whose answers are to be rewritten.
type Rewritten = Arc<Mutex<HashSet<i32>>>;

/// Accepts connections for ever and joins each to a new one to `upstream`.
pub(super) async fn serve(listener: TcpListener, upstream: std::net::SocketAddr) {
    while let Ok((client, _)) = listener.accept().await {
        tokio::spawn(async move {
            let Ok(broker) = TcpStream::connect(upstream).await else {
                return;
            };
            let ((from_client, to_client), (from_broker, to_broker)) = (client.into_split(), broker.into_split());
            let rewritten = Rewritten::default();
            let requests = pump(from_client, to_broker, rewritten.clone(), rewrite_request);
            let answers = pump(from_broker, to_client, rewritten, rewrite_answer);
            // When one side goes, both do: a broker that drops a connection drops it for the client too.
            tokio::select! {
                () = requests => {}
                () = answers => {}
            }
        });
    }
}

/// Passes frames on, each of them a length and as many bytes.
async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    rewritten: Rewritten,
    rewrite: fn(Vec<u8>, &Rewritten) -> Vec<u8>,
) {
    while let Ok(length) = from.read_u32().await {
        let mut frame = vec![0; length as usize];
        if from.read_exact(&mut frame).await.is_err() {
            return;
        }
        let frame = rewrite(frame, &rewritten);
        let mut bytes = (frame.len() as u32).to_be_bytes().to_vec();
        bytes.extend(frame);
        if to.write_all(&bytes).await.is_err() {
            return;
        }
    }
}

fn int16(bytes: &[u8], at: usize) -> i16 {
    i16::from_be_bytes([bytes[at], bytes[at + 1]])
}

fn rewrite_request(frame: Vec<u8>, rewritten: &Rewritten) -> Vec<u8> {
    if frame.len() < 10 || int16(&frame, 0) != END_TXN || int16(&frame, 2) != 1 {
        return frame;
    }
    let correlation = i32::from_be_bytes(frame[4..8].try_into().unwrap());
    rewritten.lock().unwrap().insert(correlation);
    let client_end = 10 + usize::try_from(int16(&frame, 8)).unwrap_or(0);
    let id_length = int16(&frame, client_end) as usize;
    let (id, rest) = frame[client_end + 2..].split_at(id_length);
    let mut new = Vec::with_capacity(frame.len() + 4);
    new.extend(END_TXN.to_be_bytes());
    new.extend(3_i16.to_be_bytes());
    new.extend(&frame[4..client_end]);
    new.push(0); // No tagged fields in the header.
    assert!(id_length < 127, "a length of one byte");
    new.push(id_length as u8 + 1);
    new.extend(id);
    new.extend(rest);
    new.push(0); // Nor in the body.
    new
}

fn rewrite_answer(frame: Vec<u8>, rewritten: &Rewritten) -> Vec<u8> {
    let correlation = i32::from_be_bytes(frame[..4].try_into().unwrap());
    if !rewritten.lock().unwrap().remove(&correlation) {
        return frame;
    }
    // Correlation id, tagged fields, throttle time, error code, tagged fields.
    let mut new = frame[..4].to_vec();
    new.extend(&frame[5..11]);
    new
}
