//! What is told to the host, and on the console where only that may be left.

use std::fmt::Display;
use std::fs;

use chaosrun_protocol::port::{MARKER, PORT, PORT_COUNT};
use chaosrun_protocol::{InitReport, Message};
use chaosrun_sdk::Connection;

use crate::sys;

/// Opens the SDK's ports, for this process and all of its descendants. The marker tells them; it is
/// removed again if nobody listens at the port.
pub fn open() {
    if let Err(error) = sys::open_ports(PORT.into(), PORT_COUNT.into()) {
        eprintln!(
            "init: the kernel does not give programs I/O ports (CONFIG_X86_IOPL_IOPERM), so that this node \
             can't be told who it is, and has no disks, networks and SDK: {error}"
        );
        return;
    }
    let directory = MARKER
        .rsplit_once('/')
        .map_or("/", |(directory, _)| directory);
    attempt("make the SDK's marker", fs::create_dir_all(directory));
    attempt("make the SDK's marker", fs::write(MARKER, ""));
    if chaosrun_sdk::init() == Connection::Machine {
        stage("mounts");
    } else {
        attempt("remove the SDK's marker", fs::remove_file(MARKER));
    }
}

/// Tells the host.
pub fn send(report: InitReport) {
    chaosrun_sdk::__private::send(Message::Init(report));
}

/// A stage of the start is done.
pub fn stage(name: &str) {
    send(InitReport::Stage { name: name.into() });
}

/// Something is wrong, and the start goes on.
pub fn trouble(text: String) {
    eprintln!("init: {text}");
    send(InitReport::Trouble { text });
}

/// Tells what failed, if it failed.
pub fn attempt<T>(what: impl Display, result: std::io::Result<T>) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(error) => {
            trouble(format!("can't {what}: {error}"));
            None
        }
    }
}
