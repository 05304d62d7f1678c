//! Asks over the kernel's stack.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::thread;
use std::time::Duration;

use chaosrun_sdk::lifecycle;
use serde_json::json;

use crate::message::{self, SIZE};
use crate::ready;

/// An answer that takes longer will not come: the connection is made anew.
const PATIENCE: Duration = Duration::from_secs(1);
/// The pause before the next attempt to connect.
const PAUSE: Duration = Duration::from_millis(100);

/// Asks one server, until there are so many answers.
pub fn ping(target: &str, count: Option<u64>) -> Result<(), String> {
    let target = resolve(target)?;
    ready();
    ask(target, Duration::from_millis(5), |answers| {
        message::show(answers);
        count.is_none_or(|count| answers < count)
    });
    Ok(())
}

/// The address of HOST:PORT.
pub fn resolve(target: &str) -> Result<SocketAddr, String> {
    let addresses = target.to_socket_addrs();
    let mut addresses = addresses.map_err(|error| format!("can't find {target}: {error}"))?;
    addresses.next().ok_or(format!("{target} has no address"))
}

/// Asks a server with this pause between the questions, through any number of connections, until
/// `goes_on` says otherwise; it is given the number of answers of all threads.
pub fn ask(target: SocketAddr, pause: Duration, mut goes_on: impl FnMut(u64) -> bool) {
    let mut number = 0;
    loop {
        if let Ok(connection) = TcpStream::connect_timeout(&target, PATIENCE) {
            lifecycle::send_event("connected", &json!({ "to": target.to_string() }));
            match converse(connection, pause, &mut number, &mut goes_on) {
                Ok(()) => return,
                Err(error) => lifecycle::send_event(
                    "disconnected",
                    &json!({ "from": target.to_string(), "why": error.kind().to_string() }),
                ),
            }
        }
        thread::sleep(PAUSE);
    }
}

/// Asks through one connection; an error if the connection fails first.
fn converse(
    mut connection: TcpStream,
    pause: Duration,
    number: &mut u64,
    goes_on: &mut impl FnMut(u64) -> bool,
) -> io::Result<()> {
    connection.set_nodelay(true)?;
    connection.set_read_timeout(Some(PATIENCE))?;
    connection.set_write_timeout(Some(PATIENCE))?;
    loop {
        *number += 1;
        connection.write_all(&message::question(*number))?;
        let mut answer = [0; SIZE];
        connection.read_exact(&mut answer)?;
        if !goes_on(message::answered(*number, &answer)) {
            return Ok(());
        }
        thread::sleep(pause);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve;
    use std::net::{Ipv4Addr, TcpListener};

    #[test]
    fn questions_are_answered() {
        let listener = serve::listen(0).unwrap();
        let target = (Ipv4Addr::LOCALHOST, listener.local_addr().unwrap().port());
        thread::spawn(move || serve::serve(listener, || ()));
        let mut answers = 0;
        ask(target.into(), Duration::ZERO, |_| {
            answers += 1;
            answers < 20
        });
        assert_eq!(answers, 20);
    }

    #[test]
    fn broken_connections_are_made_anew() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let target = listener.local_addr().unwrap();
        let server = thread::spawn(move || {
            for _ in 0..3 {
                let (mut connection, _) = listener.accept().unwrap();
                let mut message = [0; SIZE];
                connection.read_exact(&mut message).unwrap();
                connection.write_all(&message).unwrap();
            }
        });
        let mut answers = 0;
        ask(target, Duration::ZERO, |_| {
            answers += 1;
            answers < 3
        });
        server.join().unwrap();
        assert_eq!(answers, 3);
    }
}
