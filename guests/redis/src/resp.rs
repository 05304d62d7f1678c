//! Redis's protocol, as far as the client needs it: commands as arrays of texts, and simple replies
//! (RESP 2, "Redis serialization protocol specification").

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// How long the server may take for anything. Reading its file after a restart is answered at once
/// with an error, so that this is only about the network and the disk.
const PATIENCE: Duration = Duration::from_secs(1);

/// The longest reply that is understood, in bytes.
const REPLY_MAX: u64 = 4096;

/// What the server replies.
#[derive(Debug, PartialEq, Eq)]
pub enum Reply {
    /// A status, such as `OK`.
    Status(String),
    /// An error, with its kind in front.
    Error(String),
    /// A text.
    Text(String),
    /// There is no such thing.
    Nothing,
}

/// Why there is no reply.
#[derive(Debug, PartialEq, Eq)]
pub enum Failure {
    /// Nothing of the command has left.
    NotSent,
    /// The server may have seen the command.
    NoReply,
}

/// A connection to the server.
#[derive(Debug)]
pub struct Connection {
    stream: BufReader<TcpStream>,
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    /// The server does not answer in time, or refuses.
    pub fn open(server: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&server, PATIENCE)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self {
            stream: BufReader::new(stream),
        })
    }

    /// Sends a command and reads the reply. After a failure the connection is of no use any more.
    ///
    /// # Errors
    /// The connection broke, or the reply did not come in time or is not one.
    pub fn ask(&mut self, command: &[&str]) -> Result<Reply, Failure> {
        let command = encoded(command);
        match self.stream.get_mut().write(&command) {
            Ok(length) if length == command.len() => {}
            // A part of a command is none; Redis drops it when the connection ends.
            _ => return Err(Failure::NotSent),
        }
        read_reply(&mut self.stream).map_err(|_| Failure::NoReply)
    }
}

fn encoded(command: &[&str]) -> Vec<u8> {
    let mut text = format!("*{}\r\n", command.len());
    for part in command {
        text += &format!("${}\r\n{part}\r\n", part.len());
    }
    text.into_bytes()
}

fn read_reply(stream: &mut impl BufRead) -> io::Result<Reply> {
    let line = line(stream)?;
    let bad = || io::Error::from(io::ErrorKind::InvalidData);
    let rest = line.get(1..).ok_or_else(bad)?.to_owned();
    match line.as_bytes()[0] {
        b'+' | b':' => Ok(Reply::Status(rest)),
        b'-' => Ok(Reply::Error(rest)),
        b'$' if rest == "-1" => Ok(Reply::Nothing),
        b'$' => {
            let length: u64 = rest.parse().map_err(|_| bad())?;
            if length > REPLY_MAX {
                return Err(bad());
            }
            let mut text = Vec::new();
            stream.take(length + 2).read_to_end(&mut text)?;
            let text = text.strip_suffix(b"\r\n").ok_or_else(bad)?.to_vec();
            if text.len() as u64 != length {
                return Err(bad());
            }
            Ok(Reply::Text(String::from_utf8(text).map_err(|_| bad())?))
        }
        _ => Err(bad()),
    }
}

/// A line without its end.
fn line(stream: &mut impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    stream.take(REPLY_MAX).read_line(&mut line)?;
    let line = line.strip_suffix("\r\n").filter(|line| !line.is_empty());
    line.map(ToOwned::to_owned)
        .ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(text: &str) -> Option<Reply> {
        read_reply(&mut text.as_bytes()).ok()
    }

    #[test]
    fn commands_are_arrays_of_texts() {
        assert_eq!(encoded(&["GET", "k1"]), b"*2\r\n$3\r\nGET\r\n$2\r\nk1\r\n");
    }

    #[test]
    fn replies_are_understood() {
        assert_eq!(reply("+OK\r\n"), Some(Reply::Status("OK".into())));
        assert_eq!(
            reply("-LOADING x\r\n"),
            Some(Reply::Error("LOADING x".into()))
        );
        assert_eq!(reply("$2\r\n12\r\n"), Some(Reply::Text("12".into())));
        assert_eq!(reply("$0\r\n\r\n"), Some(Reply::Text(String::new())));
        assert_eq!(reply("$-1\r\n"), Some(Reply::Nothing));
    }

    #[test]
    fn what_is_cut_off_or_garbage_is_no_reply() {
        let good = "$2\r\n12\r\n";
        for length in 0..good.len() {
            assert_eq!(reply(&good[..length]), None, "{length}");
        }
        for bad in [
            "\r\n",
            "?\r\n",
            "$x\r\n",
            "$99999999999\r\n",
            "$1\r\n123\r\n",
            "\u{e9}\r\n",
        ] {
            assert_eq!(reply(bad), None, "{bad:?}");
        }
    }
}
