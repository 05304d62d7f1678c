//! Kernel modules.

use std::fs::{self, File};

use chaosrun_protocol::node::MODULES;

use crate::{report, sys};

/// Loads those that the initial RAM disk lists, in their order, with the parameters that the kernel's command
/// line has for them. One that is there already, or built in, is fine.
pub fn load_all() {
    // A kernel in which all is built in needs no list.
    let list = fs::read_to_string(MODULES).unwrap_or_default();
    let line = fs::read_to_string("/proc/cmdline").unwrap_or_default();
    for path in list.lines() {
        let parameters = parameters(path, &line);
        let result = File::open(path).and_then(|file| sys::load_module(&file, &parameters));
        match result {
            Err(error) if error.raw_os_error() == Some(libc::EEXIST) => {}
            result => {
                report::attempt(format_args!("load the module {path}"), result);
            }
        }
    }
}

/// What the command line says to the module of this file, in words as `module.name=value`. The kernel reads
/// them itself only if the module is built in. It takes `-` and `_` for the same.
fn parameters(path: &str, line: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or_default();
    let module = file.split('.').next().unwrap_or_default().replace('-', "_");
    let words = line.split_whitespace().filter_map(|word| {
        let (of, parameter) = word.split_once('.')?;
        (of.replace('-', "_") == module).then_some(parameter)
    });
    words.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_gets_its_words_of_the_command_line_and_no_others() {
        let line =
            "console=ttyS0 virtio_net.napi_tx=0 virtio-blk.queue_depth=8 net.a=1 virtio_net.b\n";
        assert_eq!(parameters("/m/virtio_net.ko", line), "napi_tx=0 b");
        assert_eq!(parameters("/m/virtio-blk.ko.xz", line), "queue_depth=8");
        assert_eq!(parameters("/m/virtio.ko", line), "");
        assert_eq!(parameters("/m/ext4.ko", ""), "");
    }
}
