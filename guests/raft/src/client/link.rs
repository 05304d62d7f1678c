//! A worker's connection to one server: one question, one answer.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::protocol::{Reply, Request};
use crate::wire::{Decoder, Wire, encode};

/// How long to wait for a connection, and for an answer.
const PATIENCE: Duration = Duration::from_millis(300);

/// A connection.
#[derive(Debug)]
pub struct Link {
    stream: TcpStream,
    decoder: Decoder,
    asked: u64,
}

impl Link {
    /// Connects.
    ///
    /// # Errors
    /// If nobody is there.
    pub fn connect(address: SocketAddr) -> io::Result<Link> {
        let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Link {
            stream,
            decoder: Decoder::default(),
            asked: 0,
        })
    }

    /// Asks, and waits for the answer.
    ///
    /// # Errors
    /// If there is none. The request may have had an effect or still have one.
    pub fn ask(&mut self, request: &Request) -> io::Result<Reply> {
        self.asked += 1;
        let mut bytes = Vec::new();
        encode(&Wire::Request(self.asked, request.clone()), &mut bytes);
        self.stream.write_all(&bytes)?;
        let mut buffer = [0; 4096];
        loop {
            match self.decoder.next_frame().map_err(io::Error::other)? {
                Some(Wire::Reply(asked, reply)) if asked == self.asked => return Ok(reply),
                Some(Wire::Reply(..)) => {}
                Some(_) => return Err(io::ErrorKind::InvalidData.into()),
                None => match self.stream.read(&mut buffer)? {
                    0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                    count => self.decoder.feed(&buffer[..count]),
                },
            }
        }
    }
}
