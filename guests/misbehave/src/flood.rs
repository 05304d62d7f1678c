//! Too much of something.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::net::UdpSocket;

use chaosrun_sdk::lifecycle::send_event;
use serde_json::json;

use crate::begin;

/// Prints lines for ever.
pub fn console() -> io::Result<()> {
    begin();
    let mut console = OpenOptions::new().write(true).open("/dev/console")?;
    let text = "too much\n".repeat(400);
    loop {
        console.write_all(text.as_bytes())?;
    }
}

/// Sends datagrams for ever, as fast as the kernel takes them.
pub fn network(host: &str) -> io::Result<()> {
    begin();
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    socket.connect((host, 9))?;
    loop {
        // The peer refuses, which the next call would complain about.
        let _ = socket.send(&[0x55; 1400]);
    }
}

/// Writes until the disk or file system is full, says so, and goes on as a program does that minds.
pub fn disk(path: &str) -> io::Result<()> {
    begin();
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)?;
    let block = vec![0xa5; 1 << 16];
    let mut written = 0;
    let error = loop {
        match file.write(&block) {
            Ok(count) => written += count,
            Err(error) => break error,
        }
    };
    let full = error.raw_os_error() == Some(libc::ENOSPC);
    send_event(
        "disk is full",
        &json!({ "written": written, "enospc": full }),
    );
    crate::silent()
}

/// Takes memory until the kernel ends it.
pub fn memory() -> io::Result<()> {
    begin();
    let mut taken: Vec<Vec<u8>> = Vec::new();
    loop {
        // Not zero, or no page would be touched.
        taken.push(vec![1; 1 << 20]);
    }
}
