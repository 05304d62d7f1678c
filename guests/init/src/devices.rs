//! The virtio devices, which a machine shows only when it has been asked who it is.

use std::fs;
use std::path::Path;

use crate::report;

const DEVICES: &str = "/sys/bus/platform/devices";
const DRIVER: &str = "/sys/bus/platform/drivers/virtio-mmio";
/// What the firmware calls the places of virtio devices.
const PLACE: &str = "LNRO0005:";

/// Has the driver look again where it found nothing, in order, so that the kernel's names for disks and
/// interfaces are in the machine's order.
pub fn find() {
    let Ok(places) = fs::read_dir(DEVICES) else {
        return;
    };
    let mut empty: Vec<String> = places
        .flatten()
        .filter_map(|place| place.file_name().into_string().ok())
        .filter(|name| name.starts_with(PLACE))
        .filter(|name| !Path::new(DEVICES).join(name).join("driver").exists())
        .collect();
    empty.sort();
    for place in empty {
        // A whole number of bytes at once is what the kernel takes for a name.
        let asked = fs::write(format!("{DRIVER}/bind"), &place);
        report::attempt(format_args!("find the device at {place}"), asked);
    }
}
