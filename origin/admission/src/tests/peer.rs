//! A web server of a few lines: says what it was told to say, and remembers what it heard.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};

pub(super) struct Peer {
    pub(super) url: String,
    heard: Arc<Mutex<Vec<String>>>,
    count: watch::Receiver<usize>,
    gate: Arc<Semaphore>,
}

/// An answer with a length.
pub(super) fn answer(status: &str, kind: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n\r\n{body}")
}

impl Peer {
    /// Answers each request with these bytes, at once.
    pub(super) async fn open(reply: impl Into<String>) -> Self {
        let peer = Self::gated(reply).await;
        peer.release();
        peer
    }

    /// Answers each request with these bytes, from [`release`](Self::release) on.
    pub(super) async fn gated(reply: impl Into<String>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/publish", listener.local_addr().unwrap());
        let (heard, gate, reply) = (Arc::default(), Arc::new(Semaphore::new(0)), Arc::new(reply.into()));
        let (counter, count) = watch::channel(0);
        let peer = Self { url, heard: Arc::clone(&heard), count, gate: Arc::clone(&gate) };
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                let (heard, gate, reply) = (Arc::clone(&heard), Arc::clone(&gate), Arc::clone(&reply));
                let counter = counter.clone();
                tokio::spawn(async move {
                    while let Some(request) = request(&mut socket).await {
                        heard.lock().unwrap().push(request);
                        counter.send_modify(|count| *count += 1);
                        let _open = gate.acquire().await.unwrap();
                        socket.write_all(reply.as_bytes()).await.unwrap();
                    }
                });
            }
        });
        peer
    }

    pub(super) fn release(&self) {
        self.gate.add_permits(1_000);
    }

    pub(super) fn count(&self) -> usize {
        *self.count.borrow()
    }

    /// Waits until so many requests have come.
    pub(super) async fn heard(&self, count: usize) {
        self.count.clone().wait_for(|heard| *heard >= count).await.unwrap();
    }

    /// Head in lower case, and body, of the last request.
    pub(super) fn last(&self) -> (String, String) {
        let heard = self.heard.lock().unwrap();
        let (head, body) = heard.last().unwrap().split_once("\r\n\r\n").unwrap();
        (head.to_lowercase(), body.to_owned())
    }
}

/// One request with its body, or `None` at the end.
async fn request(socket: &mut TcpStream) -> Option<String> {
    let mut text = String::new();
    loop {
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let head = head.to_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
            if body.len() >= length.parse().unwrap() {
                return Some(text);
            }
        }
        let mut bytes = [0; 4096];
        match socket.read(&mut bytes).await {
            Ok(n @ 1..) => text.push_str(std::str::from_utf8(&bytes[..n]).unwrap()),
            _ => return None,
        }
    }
}
