//! The memory of a process that boots a machine, beside the guest RAM that the guest touched.

use std::process::Stdio;
use std::time::Duration;

use crate::initrd;

/// The size of the guest's RAM, by which its mapping is recognised, in KiB.
const GUEST_KIB: u64 = 256 << 10;

/// Boots Debian's kernel in a process of its own and looks at it every few milliseconds.
pub fn report() {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(file.path(), initrd()).expect("a temporary file");
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_chaosrun"))
        .args(["boot", "debian"])
        .arg(file.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the binary was built");
    // The peak only grows, so the last look is the one that counts.
    let mut last = None;
    while let Ok(None) = child.try_wait() {
        last = look(child.id()).or(last);
        std::thread::sleep(Duration::from_millis(5));
    }
    match last {
        Some((peak, touched)) => println!(
            "memory of a boot: {} MiB at its peak, of which {} MiB are guest RAM \
             that was touched, {} MiB the rest",
            peak >> 10,
            touched >> 10,
            (peak - touched) >> 10
        ),
        None => println!("memory of a boot: not measured; is this Linux?"),
    }
}

/// The peak of the resident memory and the resident part of guest RAM, in KiB (Linux, proc(5)).
fn look(process: u32) -> Option<(u64, u64)> {
    let maps = std::fs::read_to_string(format!("/proc/{process}/smaps")).ok()?;
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let mut lines = maps.lines();
    lines.find(|line| field(line, "Size:").is_some_and(|size| size >= GUEST_KIB))?;
    let touched = lines.find_map(|line| field(line, "Rss:"))?;
    let peak = status.lines().find_map(|line| field(line, "VmHWM:"))?;
    Some((peak, touched))
}

/// The number of KiB on a line `NAME:   NUMBER kB`.
fn field(line: &str, name: &str) -> Option<u64> {
    line.strip_prefix(name)?
        .trim()
        .trim_end_matches(" kB")
        .parse()
        .ok()
}
