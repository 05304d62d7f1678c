//! The host's commands, from the console device.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use chaosrun_protocol::InitReport;
use chaosrun_protocol::control::{Command, MAX_LINE};

use crate::{report, sys};

const DEVICE: &str = "/dev/hvc0";
/// How long the driver may take to make the device.
const PATIENCE_MS: u64 = 2_000;
/// How long a command takes at most that the host gives when it hears of the start, and each of its parts:
/// the driver hands on a few bytes at a time, with some ticks of the kernel between them.
const PAUSE_NS: u64 = 25_000_000;
/// virtio's number of console devices.
const VIRTIO_CONSOLE: &str = "0x0003";

/// The console device, if the machine has one.
#[derive(Debug)]
pub struct Control {
    file: Option<File>,
    lines: Lines,
}

impl Control {
    /// Opens the device. A machine without one has no commands.
    pub fn open() -> Self {
        let file = if is_promised() {
            sys::wait_for(PATIENCE_MS, || Path::new(DEVICE).exists().then_some(()));
            report::attempt(format_args!("open {DEVICE}"), open_device())
        } else {
            None
        };
        Self {
            file,
            lines: Lines::default(),
        }
    }

    /// What becomes readable when a command comes.
    pub fn file(&self) -> Option<RawFd> {
        self.file.as_ref().map(AsRawFd::as_raw_fd)
    }

    /// The commands that come at the start. The host has been told of it.
    pub fn first(&mut self) -> Vec<Command> {
        let mut commands = Vec::new();
        while let Some(file) = self.file() {
            if sys::wait_readable(&[file], Some(PAUSE_NS)) != [true] {
                break;
            }
            commands.extend(self.read());
            if !commands.is_empty() && self.lines.line.is_empty() {
                break;
            }
        }
        commands
    }

    /// The commands that have come. What is no command is answered here.
    pub fn read(&mut self) -> Vec<Command> {
        let mut buffer = [0; 1024];
        let mut commands = Vec::new();
        while let Some(file) = &mut self.file {
            match file.read(&mut buffer) {
                Ok(length) if length > 0 => {
                    commands.extend(
                        buffer[..length]
                            .iter()
                            .filter_map(|&byte| self.lines.push(byte)),
                    );
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // The host closed it. Asking again and again would only burn time.
                Ok(_) | Err(_) => self.file = None,
            }
        }
        commands
            .into_iter()
            .filter_map(|line| match line {
                Ok(command) => Some(command),
                Err(reason) => {
                    report::send(InitReport::CommandFailed { id: 0, reason });
                    None
                }
            })
            .collect()
    }
}

/// Whether the machine has a console device, with a driver or yet without.
fn is_promised() -> bool {
    let Ok(devices) = fs::read_dir("/sys/bus/virtio/devices") else {
        return false;
    };
    devices.flatten().any(|device| {
        fs::read_to_string(device.path().join("device"))
            .is_ok_and(|number| number.trim() == VIRTIO_CONSOLE)
    })
}

fn open_device() -> std::io::Result<File> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NOCTTY | libc::O_NONBLOCK)
        .open(DEVICE)?;
    sys::make_raw(&file)?;
    Ok(file)
}

/// Puts lines together, none of them longer than a command may be.
#[derive(Debug, Default)]
struct Lines {
    line: Vec<u8>,
    too_long: bool,
}

impl Lines {
    /// Takes a byte; the last one of a line gives the command or why it is none.
    fn push(&mut self, byte: u8) -> Option<Result<Command, String>> {
        if byte != b'\n' {
            self.too_long |= self.line.len() >= MAX_LINE;
            if !self.too_long {
                self.line.push(byte);
            }
            return None;
        }
        let line = std::mem::take(&mut self.line);
        if std::mem::take(&mut self.too_long) {
            return Some(Err(format!("a command is longer than {MAX_LINE} bytes")));
        }
        let line = String::from_utf8_lossy(&line);
        if line.trim().is_empty() {
            return None;
        }
        Some(Command::from_line(&line).map_err(|error| format!("not a command: {error}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chaosrun_protocol::control::Action;

    fn push_all(lines: &mut Lines, bytes: &[u8]) -> Vec<Result<Command, String>> {
        bytes.iter().filter_map(|&byte| lines.push(byte)).collect()
    }

    #[test]
    fn commands_come_in_pieces_and_several_at_once() {
        let mut lines = Lines::default();
        assert!(push_all(&mut lines, br#"{"id":1,"action":{"memo"#).is_empty());
        let second = "ry_release\":{\"of\":7}}}\r\n\n{\"id\":2,\"action\":{\"clock_follow\":{}}}\n";
        let commands = push_all(&mut lines, second.as_bytes());
        let expected = [Action::MemoryRelease { of: 7 }, Action::ClockFollow {}];
        let actions: Vec<_> = commands.into_iter().map(|c| c.unwrap().action).collect();
        assert_eq!(actions, expected);
    }

    #[test]
    fn garbage_is_answered_and_does_not_spoil_the_next_line() {
        let mut lines = Lines::default();
        let mut bytes = vec![b'x'; 3 * MAX_LINE];
        bytes.extend(b"\n\xff\xfe\n{}\n{\"id\":9,\"action\":{\"clock_follow\":{}}}\n");
        let commands = push_all(&mut lines, &bytes);
        assert_eq!(commands.len(), 4);
        assert!(commands[..3].iter().all(Result::is_err));
        assert_eq!(commands[3].as_ref().unwrap().id, 9);
        assert!(lines.line.capacity() <= 2 * MAX_LINE);
    }
}
