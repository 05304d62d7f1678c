//! One connection: what has arrived on it and what is still to be sent.

use std::io::{self, Read, Write};
use std::time::Duration;

use mio::event::Event;
use mio::net::TcpStream;

use crate::wire::{Decoder, Wire, encode};

/// How much may wait to be sent before the other side is given up.
const MAX_UNSENT: usize = 4 * 1024 * 1024;
/// How long the other side may leave what it was sent unacknowledged.
const PATIENCE: Duration = Duration::from_millis(800);

/// What waiting told about a connection.
#[derive(Clone, Copy, Debug)]
pub struct Ready {
    readable: bool,
    /// The other side says no more, or the connection is broken.
    ending: bool,
}

impl Ready {
    /// What the event tells.
    pub fn of(event: &Event) -> Ready {
        Ready {
            readable: event.is_readable(),
            ending: event.is_read_closed() || event.is_error(),
        }
    }
}

/// A connection.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    decoder: Decoder,
    unsent: Vec<u8>,
}

impl Connection {
    /// Takes over a connection that is being made or has been.
    pub fn new(stream: TcpStream) -> Connection {
        let _ = stream.set_nodelay(true);
        // Without this, a connection to a machine that died is kept for a quarter of an hour.
        let _ = socket2::SockRef::from(&stream).set_tcp_user_timeout(Some(PATIENCE));
        Connection {
            stream,
            decoder: Decoder::default(),
            unsent: Vec::new(),
        }
    }

    /// The stream, for being waited for.
    pub fn stream(&mut self) -> &mut TcpStream {
        &mut self.stream
    }

    /// Whether a connection that was being made is there.
    ///
    /// # Errors
    /// If it failed.
    pub fn established(&self) -> io::Result<bool> {
        if let Some(error) = self.stream.take_error()? {
            return Err(error);
        }
        match self.stream.peer_addr() {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Sends as soon as possible.
    pub fn send(&mut self, wire: &Wire) {
        encode(wire, &mut self.unsent);
    }

    /// Sends what the other side takes now.
    ///
    /// # Errors
    /// If the connection is broken, or the other side takes too little.
    pub fn flush(&mut self) -> io::Result<()> {
        let mut sent = 0;
        while sent < self.unsent.len() {
            match self.stream.write(&self.unsent[sent..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => sent += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.unsent.drain(..sent);
        if self.unsent.len() > MAX_UNSENT {
            return Err(io::Error::other("the other side takes too little"));
        }
        Ok(())
    }

    /// Adds what has arrived to `said`. What came before the end counts even if it ends.
    ///
    /// # Errors
    /// If the connection is broken, at its end, or carries something that is none of ours.
    pub fn receive(&mut self, ready: Ready, said: &mut Vec<Wire>) -> io::Result<()> {
        if !ready.readable && !ready.ending {
            return Ok(());
        }
        let mut buffer = [0; 4 * 1024];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => {
                    self.decoder.feed(&buffer[..count]);
                    while let Some(wire) = self.decoder.next_frame().map_err(io::Error::other)? {
                        said.push(wire);
                    }
                    // That was all; what comes later is told anew, but an end that was told is not.
                    if count < buffer.len() && !ready.ending {
                        return Ok(());
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}
