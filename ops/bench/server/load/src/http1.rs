//! As much of HTTP/1.1 as the servers speak.

use std::{io, ops::Range};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::wrong;

/// A connection, and what was read of it but not yet taken.
pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
    taken: usize,
}

/// The head of an answer.
pub struct Head {
    pub status: u16,
    length: usize,
    pub chunked: bool,
}

impl Connection {
    pub async fn open(port: u16) -> io::Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            buffer: Vec::new(),
            taken: 0,
        })
    }

    /// Whether the server has closed it, or sent what nobody asked for.
    pub fn is_stale(&self) -> bool {
        let pending = self.stream.try_read(&mut [0; 1]);
        !matches!(pending, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }

    pub async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await
    }

    async fn fill(&mut self) -> io::Result<()> {
        if self.taken == self.buffer.len() {
            self.buffer.clear();
            self.taken = 0;
        }
        match self.stream.read_buf(&mut self.buffer).await? {
            0 => Err(wrong("the server closed the connection")),
            _ => Ok(()),
        }
    }

    /// The next line, without its end.
    pub async fn line(&mut self) -> io::Result<String> {
        let mut searched = self.taken;
        loop {
            if let Some(end) = self.buffer[searched..].iter().position(|byte| *byte == b'\n') {
                let line = &self.buffer[self.taken..searched + end];
                let line = String::from_utf8_lossy(line).trim_end_matches('\r').to_owned();
                self.taken = searched + end + 1;
                return Ok(line);
            }
            let unsearched = self.buffer.len() - self.taken;
            self.fill().await?;
            searched = self.taken + unsearched;
        }
    }

    pub async fn head(&mut self) -> io::Result<Head> {
        let first = self.line().await?;
        let status = first
            .split(' ')
            .nth(1)
            .and_then(|code| code.parse().ok())
            .ok_or_else(|| wrong(format!("no status in {first:?}")))?;
        let mut head = Head {
            status,
            length: 0,
            chunked: false,
        };
        loop {
            let line = self.line().await?.to_ascii_lowercase();
            if line.is_empty() {
                return Ok(head);
            }
            if let Some(length) = line.strip_prefix("content-length:") {
                head.length = length.trim().parse().map_err(|_| wrong("a bad length"))?;
            }
            head.chunked |= line.starts_with("transfer-encoding:") && line.contains("chunked");
        }
    }

    /// The next `length` bytes, where they are in the buffer.
    async fn exactly(&mut self, length: usize) -> io::Result<Range<usize>> {
        while self.buffer.len() - self.taken < length {
            self.fill().await?;
        }
        let bytes = self.taken..self.taken + length;
        self.taken += length;
        Ok(bytes)
    }

    /// The next chunk; `None` at the end of the body.
    pub async fn chunk(&mut self) -> io::Result<Option<&[u8]>> {
        let size = self.line().await?;
        let size = usize::from_str_radix(size.split(';').next().unwrap_or("").trim(), 16);
        let size = size.map_err(|_| wrong("a bad chunk"))?;
        let bytes = self.exactly(size + 2).await?;
        Ok((size > 0).then(|| &self.buffer[bytes.start..bytes.end - 2]))
    }

    /// What there is of a body that ends with its connection.
    pub async fn some(&mut self) -> io::Result<&[u8]> {
        if self.taken == self.buffer.len() {
            self.fill().await?;
        }
        let from = std::mem::replace(&mut self.taken, self.buffer.len());
        Ok(&self.buffer[from..])
    }

    /// A whole answer.
    pub async fn answer(&mut self) -> io::Result<(Head, Vec<u8>)> {
        let head = self.head().await?;
        let mut body = Vec::new();
        if head.chunked {
            while let Some(chunk) = self.chunk().await? {
                body.extend_from_slice(chunk);
            }
        } else {
            let bytes = self.exactly(head.length).await?;
            body.extend_from_slice(&self.buffer[bytes]);
        }
        Ok((head, body))
    }
}
