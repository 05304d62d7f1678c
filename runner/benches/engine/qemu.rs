//! QEMU's deterministic mode: its translator with an instruction counter as clock.

use std::io::ErrorKind;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::guest::QUIET;
use crate::{median, timed};

const PROGRAM: &str = "qemu-system-x86_64";

/// The median wall time of a boot up to the guest's restart, or why there is none.
pub fn boot(kernel: &[u8], initrd: &[u8]) -> Result<Duration, String> {
    match Command::new(PROGRAM).arg("--version").output() {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Err(format!("{PROGRAM} is not installed"));
        }
        Err(error) => return Err(error.to_string()),
        Ok(_) => {}
    }
    let files = tempfile::tempdir().map_err(|error| error.to_string())?;
    let paths = ["kernel", "initrd"].map(|name| files.path().join(name));
    for (path, content) in paths.iter().zip([kernel, initrd]) {
        std::fs::write(path, content).map_err(|error| error.to_string())?;
    }
    let mut failure = None;
    let wall = median(|| {
        let mut command = Command::new("timeout");
        command
            .args([
                "120",
                PROGRAM,
                "-accel",
                "tcg",
                "-icount",
                "shift=0,sleep=off",
                "-m",
                "256M",
            ])
            .args([
                "-nographic",
                "-no-reboot",
                "-nodefaults",
                "-serial",
                "stdio",
                "-append",
                QUIET,
            ])
            .arg("-kernel")
            .arg(&paths[0])
            .arg("-initrd")
            .arg(&paths[1])
            .stdin(Stdio::null());
        timed(|| {
            let output = command.output().expect("it was there a moment ago");
            let console = String::from_utf8_lossy(&output.stdout).into_owned();
            if !output.status.success() || !console.contains("ready") {
                failure = Some(format!("{}: {console}", output.status));
            }
        })
    });
    failure.map_or(Ok(wall), Err)
}
