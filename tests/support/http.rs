//! A small HTTP/1.1 client that hides nothing.

use std::io::{BufRead, BufReader, Error, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// An answer as it came.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    /// A header by its name in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }
}

/// A connection that is kept.
pub(crate) struct Client {
    address: SocketAddr,
    stream: BufReader<TcpStream>,
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> std::io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, Duration::from_secs(5))?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        stream.set_nodelay(true)?;
        Ok(Self { address, stream: BufReader::new(stream) })
    }

    pub(crate) fn get(&mut self, path: &str, headers: &[(&str, &str)]) -> std::io::Result<Reply> {
        let mut request = format!("GET {path} HTTP/1.1\r\nhost: {}\r\n", self.address);
        headers.iter().for_each(|(n, v)| request.push_str(&format!("{n}: {v}\r\n")));
        request.push_str("\r\n");
        self.stream.get_mut().write_all(request.as_bytes())?;
        self.reply()
    }

    pub(crate) fn send(&mut self, method: &str, path: &str, json: &str) -> std::io::Result<Reply> {
        let length = json.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{json}",
            self.address
        );
        self.stream.get_mut().write_all(request.as_bytes())?;
        self.reply()
    }

    /// Any method, with headers and a body.
    pub(crate) fn ask(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> std::io::Result<Reply> {
        let length = body.len();
        let mut request =
            format!("{method} {path} HTTP/1.1\r\nhost: {}\r\ncontent-length: {length}\r\n", self.address);
        headers.iter().for_each(|(n, v)| request.push_str(&format!("{n}: {v}\r\n")));
        request.push_str("\r\n");
        self.stream.get_mut().write_all(request.as_bytes())?;
        self.stream.get_mut().write_all(body)?;
        if method == "HEAD" { self.head() } else { self.reply() }
    }

    fn line(&mut self) -> std::io::Result<String> {
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        Ok(line.trim_end().to_owned())
    }

    fn head(&mut self) -> std::io::Result<Reply> {
        let start = self.line()?;
        let status = start.split(' ').nth(1).and_then(|s| s.parse().ok());
        let status = status.ok_or_else(|| Error::new(ErrorKind::InvalidData, start))?;
        let mut headers = Vec::new();
        loop {
            let line = self.line()?;
            let Some((name, value)) = line.split_once(':') else { break };
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        Ok(Reply { status, headers, body: Vec::new() })
    }

    fn reply(&mut self) -> std::io::Result<Reply> {
        let mut reply = self.head()?;
        let length = reply.header("content-length").and_then(|l| l.parse().ok());
        match length {
            Some(length) => {
                reply.body = vec![0; length];
                self.stream.read_exact(&mut reply.body)?;
            }
            None if reply.header("transfer-encoding") == Some("chunked") => self.chunks(&mut reply.body)?,
            None => {}
        }
        Ok(reply)
    }

    fn chunks(&mut self, body: &mut Vec<u8>) -> std::io::Result<()> {
        loop {
            let size = self.line()?;
            let size =
                usize::from_str_radix(&size, 16).map_err(|_| Error::new(ErrorKind::InvalidData, size))?;
            let mut chunk = vec![0; size];
            self.stream.read_exact(&mut chunk)?;
            body.append(&mut chunk);
            self.line()?;
            if size == 0 {
                return Ok(());
            }
        }
    }
}

/// One request with a body in JSON, on a connection of its own.
pub(crate) fn send(address: SocketAddr, method: &str, path: &str, json: &str) -> std::io::Result<Reply> {
    Client::connect(address)?.send(method, path, json)
}

/// One request on a connection of its own.
pub(crate) fn get(address: SocketAddr, path: &str) -> std::io::Result<Reply> {
    get_with(address, path, &[])
}

/// The same with headers.
pub(crate) fn get_with(address: SocketAddr, path: &str, headers: &[(&str, &str)]) -> std::io::Result<Reply> {
    Client::connect(address)?.get(path, headers)
}
