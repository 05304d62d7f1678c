//! QEMU's deterministic mode: its translator with an instruction counter as clock.

use std::fs;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::{CMDLINE, median, timed};

const PROGRAM: &str = "qemu-system-x86_64";

/// QEMU's default machine, a PC with PCI, and the one that is most like chaosrun's.
pub const MACHINES: [&str; 2] = ["pc", "microvm"];

/// What a kernel says first.
const FIRST_WORDS: &[u8] = b"Linux version";

/// Wall times of a boot.
pub struct Times {
    /// From the start of the process to its end.
    pub whole: Duration,
    /// From the kernel's first words, when firmware and unpacking are over, to the end.
    pub kernel: Duration,
}

/// The medians for one of [`MACHINES`], or why there are none.
pub fn boot(machine: &str, kernel: &[u8], initrd: &[u8]) -> Result<Times, String> {
    let text = |error: std::io::Error| error.to_string();
    match Command::new(PROGRAM).arg("--version").output() {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Err(format!("{PROGRAM} is not installed"));
        }
        other => other.map_err(text)?,
    };
    let files = tempfile::tempdir().map_err(text)?;
    let paths = ["kernel", "initrd"].map(|name| files.path().join(name));
    for (path, content) in paths.iter().zip([kernel, initrd]) {
        fs::write(path, content).map_err(text)?;
    }
    let mut failure = None;
    let mut kernels = Vec::new();
    let whole = median(|| {
        timed(|| match run(machine, &paths) {
            Ok(kernel) => kernels.push(kernel),
            Err(why) => failure = Some(why),
        })
    });
    match failure {
        Some(why) => Err(why),
        None => Ok(Times {
            whole,
            kernel: median(|| kernels.pop().expect("one for each run")),
        }),
    }
}

/// Boots once, to the guest's restart, and returns how long that took from the first words on.
fn run(machine: &str, [kernel, initrd]: &[PathBuf; 2]) -> Result<Duration, String> {
    let mut child = start(machine, kernel, initrd).map_err(|error| error.to_string())?;
    let mut stdout = child.stdout.take().expect("it is a pipe");
    let mut console = Vec::new();
    let mut piece = [0; 4096];
    let mut read = |console: &mut Vec<u8>| {
        let length = stdout.read(&mut piece).unwrap_or(0);
        console.extend_from_slice(&piece[..length]);
        length > 0
    };
    while !contains(&console, FIRST_WORDS) && read(&mut console) {}
    let time = timed(|| while read(&mut console) {});
    let status = child.wait().map_err(|error| error.to_string())?;
    if status.success() && contains(&console, b"ready") {
        Ok(time)
    } else {
        Err(format!("{status}: {}", String::from_utf8_lossy(&console)))
    }
}

fn start(machine: &str, kernel: &Path, initrd: &Path) -> std::io::Result<Child> {
    let machine = format!("{machine},acpi=on");
    Command::new("timeout")
        .args(["120", PROGRAM, "-M", &machine, "-m", "256M"])
        .args(["-accel", "tcg", "-icount", "shift=0,sleep=off"])
        .args(["-nographic", "-no-reboot", "-nodefaults"])
        .args(["-serial", "stdio", "-append", CMDLINE])
        .arg("-kernel")
        .arg(kernel)
        .arg("-initrd")
        .arg(initrd)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
}

fn contains(text: &[u8], words: &[u8]) -> bool {
    text.windows(words.len()).any(|window| window == words)
}
