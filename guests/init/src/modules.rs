//! Kernel modules.

use std::fs::File;

use crate::{report, sys};

/// Loads them in this order. One that is there already, or built in, is fine.
pub fn load(paths: &[String]) {
    for path in paths {
        let result = File::open(path).and_then(|file| sys::load_module(&file));
        match result {
            Err(error) if error.raw_os_error() == Some(libc::EEXIST) => {}
            result => {
                report::attempt(format_args!("load the module {path}"), result);
            }
        }
    }
}
