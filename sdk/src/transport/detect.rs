//! Finds out where the program runs.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::path::Path;
use std::sync::OnceLock;

use chaosrun_protocol::port::MARKER;

use super::{Transport, port};

/// Names the file that takes JSON lines outside a machine.
const LOCAL_OUTPUT: &str = "CHAOSRUN_SDK_LOCAL_OUTPUT";

/// The way to the host.
pub(super) fn get() -> &'static Transport {
    static TRANSPORT: OnceLock<Transport> = OnceLock::new();
    TRANSPORT.get_or_init(|| {
        // The instruction would end the program where init has not opened the port.
        if Path::new(MARKER).exists() && port::is_there() {
            return Transport::Port;
        }
        std::env::var_os(LOCAL_OUTPUT).map_or(Transport::None, open)
    })
}

/// The file, or nothing if it cannot be opened: a program must not fail for want of a test's output.
fn open(path: OsString) -> Transport {
    let file = OpenOptions::new().create(true).append(true).open(&path);
    match file {
        Ok(file) => {
            crate::lines::write_header(&file);
            Transport::File(file)
        }
        Err(error) => {
            eprintln!("chaosrun-sdk: can't write to {}: {error}", path.display());
            Transport::None
        }
    }
}

/// This process.
pub(super) fn pid() -> u32 {
    std::process::id()
}
