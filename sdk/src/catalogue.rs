//! All assertions of the program, collected by the linker.

use alloc::vec::Vec;

use chaosrun_protocol::Message;
use linkme::distributed_slice;

use crate::site::AssertSite;
use crate::transport::Transport;

/// The sites of this program. Macros add to it from any crate that is linked in.
#[distributed_slice]
pub static SITES: [AssertSite];

/// The most bytes of texts in one message; with the numbers, it fits into a call.
const BYTES_PER_MESSAGE: usize = 32 * 1024;

/// Sends all sites, in the order in which the linker put them.
pub(crate) fn report(transport: &Transport) {
    let mut sites = Vec::new();
    let mut bytes = 0;
    for site in SITES {
        let site = site.describe();
        // Each text is cut at 512 bytes when it is sent, and the numbers take at most 17.
        bytes += 64 + site.message.len() + site.file.len() + site.module.len();
        sites.push(site);
        if bytes > BYTES_PER_MESSAGE {
            transport.send(Message::Catalog {
                sites: core::mem::take(&mut sites),
            });
            bytes = 0;
        }
    }
    if !sites.is_empty() {
        transport.send(Message::Catalog { sites });
    }
}
