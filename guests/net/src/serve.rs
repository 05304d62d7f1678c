//! Answers over the kernel's stack.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use crate::message::SIZE;

/// A connection that says nothing for so long is given up; its client is gone.
const SILENCE: Duration = Duration::from_secs(30);
/// More connections than this at once are closed again.
const MAX_CONNECTIONS: u32 = 256;

static CONNECTIONS: AtomicU32 = AtomicU32::new(0);

/// Takes a port.
pub fn listen(port: u16) -> Result<TcpListener, String> {
    TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).map_err(|e| format!("can't listen: {e}"))
}

/// Answers for ever; `ready` is called before.
pub fn serve(listener: TcpListener, ready: impl FnOnce()) -> Result<(), String> {
    ready();
    loop {
        // An error is that of a connection which is gone already.
        let Ok((connection, _)) = listener.accept() else {
            continue;
        };
        if CONNECTIONS.fetch_add(1, Ordering::Relaxed) >= MAX_CONNECTIONS {
            CONNECTIONS.fetch_sub(1, Ordering::Relaxed);
            continue;
        }
        thread::spawn(move || {
            // However it ends, the client notices.
            let _ = echo(connection);
            CONNECTIONS.fetch_sub(1, Ordering::Relaxed);
        });
    }
}

fn echo(mut connection: TcpStream) -> std::io::Result<()> {
    connection.set_nodelay(true)?;
    connection.set_read_timeout(Some(SILENCE))?;
    connection.set_write_timeout(Some(SILENCE))?;
    let mut message = [0; SIZE];
    loop {
        connection.read_exact(&mut message)?;
        connection.write_all(&message)?;
    }
}
