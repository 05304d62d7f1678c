//! Names of disks: `/dev/disk/by-id/virtio-NAME`, as udev would make them from the serial number.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::Path;

use chaosrun_protocol::node::Mount;

use crate::{report, sys};

const DIRECTORY: &str = "/dev/disk/by-id";

/// Makes a link for each disk that has a serial number.
pub fn name_all() {
    let Ok(disks) = fs::read_dir("/sys/block") else {
        return;
    };
    for disk in disks.flatten() {
        let serial = fs::read_to_string(disk.path().join("serial")).unwrap_or_default();
        if let Some(name) = link_name(&serial) {
            let device = Path::new("/dev").join(disk.file_name());
            report::attempt(
                format_args!("name the disk {serial:?}"),
                link(&device, &name),
            );
        }
    }
}

/// Mounts the disks, and tells whether all of it went well.
pub fn mount_all(mounts: &[Mount]) -> bool {
    let mut good = true;
    for mount in mounts {
        let what = format_args!("mount the disk {} at {}", mount.disk, mount.path);
        good &= report::attempt(what, self::mount(mount)).is_some();
    }
    good
}

fn mount(mount: &Mount) -> io::Result<()> {
    let device = device(&mount.disk).ok_or(io::ErrorKind::InvalidInput)?;
    fs::create_dir_all(&mount.path)?;
    sys::mount_disk(&device, &mount.path, &mount.filesystem, mount.read_only)
}

/// The link to the disk of this name.
pub fn device(disk: &str) -> Option<String> {
    link_name(disk).map(|name| format!("{DIRECTORY}/{name}"))
}

fn link(device: &Path, name: &str) -> io::Result<()> {
    fs::create_dir_all(DIRECTORY)?;
    symlink(device, Path::new(DIRECTORY).join(name))
}

/// The link's name, without what a file name cannot have.
fn link_name(serial: &str) -> Option<String> {
    let serial = serial.trim_matches(|c: char| c.is_whitespace() || c == '\0');
    let clean = |c: char| {
        if c == '/' || c.is_control() || c == ' ' {
            '_'
        } else {
            c
        }
    };
    (!serial.is_empty())
        .then(|| format!("virtio-{}", serial.chars().map(clean).collect::<String>()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serial_numbers_become_names_of_files() {
        assert_eq!(link_name("data\n").as_deref(), Some("virtio-data"));
        assert_eq!(link_name("data\0\0").as_deref(), Some("virtio-data"));
        assert_eq!(link_name("a/../b c").as_deref(), Some("virtio-a_.._b_c"));
        assert_eq!(link_name("\n"), None);
        assert_eq!(link_name(""), None);
    }
}
