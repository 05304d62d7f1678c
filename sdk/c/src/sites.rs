//! Assertions of C programs. Each is a static struct that the macros of the header make.

use std::ffi::c_char;
use std::sync::Mutex;

use chaosrun_protocol::{Assertion, Kind, Message, Site};
use chaosrun_sdk::__private::{Counts, send};
use chaosrun_sdk::Connection;

use crate::{json, text};

/// An assertion, `struct chaosrun_site`.
#[derive(Debug)]
#[repr(C)]
pub struct CSite {
    message: *const c_char,
    file: *const c_char,
    function: *const c_char,
    line: u32,
    kind: u32,
    counts: Counts,
}

impl CSite {
    fn kind(&self) -> Kind {
        match self.kind {
            0 => Kind::Always,
            1 => Kind::AlwaysOrUnreachable,
            2 => Kind::Sometimes,
            3 => Kind::Reachable,
            _ => Kind::Unreachable,
        }
    }

    /// # Safety
    /// The texts end with zeros.
    unsafe fn describe(&self) -> Site {
        // SAFETY: the caller vouches for it.
        let (message, file, module) =
            unsafe { (text(self.message), text(self.file), text(self.function)) };
        Site {
            kind: self.kind(),
            message,
            file,
            module,
            line: self.line,
            column: 1,
        }
    }
}

/// How many sites are told at once; with texts of ordinary length they fit into a call.
const SITES_PER_MESSAGE: usize = 32;

/// Tells the host of the sites of one program or shared library. Each source file that includes the
/// header calls this, with the same sites.
///
/// # Safety
/// `begin` and `end` bracket addresses of sites that live as long as the program.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chaosrun_register_sites(
    begin: *const *const CSite,
    end: *const *const CSite,
) {
    static REGISTERED: Mutex<Vec<usize>> = Mutex::new(Vec::new());
    if begin.is_null() || end <= begin || chaosrun_sdk::init() == Connection::None {
        return;
    }
    // A panic while the list is locked leaves it whole.
    let mut registered = REGISTERED.lock().unwrap_or_else(|error| error.into_inner());
    if registered.contains(&begin.addr()) {
        return;
    }
    registered.push(begin.addr());
    let count = (end.addr() - begin.addr()) / size_of::<*const CSite>();
    // SAFETY: the caller vouches for it.
    let sites = unsafe { std::slice::from_raw_parts(begin, count) };
    for sites in sites.chunks(SITES_PER_MESSAGE) {
        // SAFETY: the caller vouches for it.
        let sites = sites.iter().map(|site| unsafe { (**site).describe() });
        send(Message::Catalog {
            sites: sites.collect(),
        });
    }
}

/// An assertion is evaluated.
///
/// # Safety
/// The site is a static whose texts end with zeros, and so do the details, if there are any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chaosrun_assert(
    site: *const CSite,
    condition: bool,
    details: *const c_char,
) {
    // SAFETY: the caller vouches for it.
    let site = unsafe { &*site };
    if site.counts.is_news(site.kind(), condition) {
        // SAFETY: the caller vouches for it.
        let (site, details) = unsafe { (site.describe(), json(details)) };
        send(Message::Assert(Assertion {
            site,
            condition,
            details: details.to_string(),
        }));
    }
}
