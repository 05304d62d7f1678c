//! Writes a network's traffic as a pcapng file (draft-ietf-opsawg-pcapng): one section, one Ethernet
//! interface per port, and one enhanced packet block per frame that a node sent.
//!
//! Timestamps are virtual nanoseconds since power-on. What became of a frame, unless it was just
//! delivered to everybody, stands in a comment. All numbers are little-endian.

use std::io::{self, Write};

use crate::time::VirtTime;

#[cfg(test)]
pub(super) mod tests;

const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const BYTE_ORDER_MAGIC: u32 = 0x1a2b_3c4d;
const INTERFACE: u32 = 1;
const ENHANCED_PACKET: u32 = 6;

const END_OF_OPTIONS: u16 = 0;
const COMMENT: u16 = 1;
const SECTION_APPLICATION: u16 = 4;
const INTERFACE_NAME: u16 = 2;
const INTERFACE_RESOLUTION: u16 = 9;
const PACKET_FLAGS: u16 = 2;

/// LINKTYPE_ETHERNET.
const ETHERNET: u16 = 1;
/// Timestamps count units of 10^-9 s.
const NANOSECONDS: u8 = 9;
/// The packet was seen as it left the interface.
const OUTBOUND: u32 = 2;

/// A capture that is being written. After the first error nothing more is written, and the error is
/// reported at the end, so that a full disk of the host does not change what guests do.
pub struct Capture {
    out: Box<dyn Write + Send>,
    block: Vec<u8>,
    error: Option<io::Error>,
}

impl Capture {
    /// Begins a capture with an interface of each name, in order.
    pub fn new<'a>(
        out: Box<dyn Write + Send>,
        interfaces: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        let mut capture = Self {
            out,
            block: Vec::new(),
            error: None,
        };
        capture.write_block(SECTION_HEADER, |body| {
            body.extend(BYTE_ORDER_MAGIC.to_le_bytes());
            // Version 1.0, and a section whose length is left open.
            body.extend(1u16.to_le_bytes());
            body.extend(0u16.to_le_bytes());
            body.extend(u64::MAX.to_le_bytes());
            option(body, SECTION_APPLICATION, b"chaosrun");
            option(body, END_OF_OPTIONS, b"");
        });
        for name in interfaces {
            capture.write_block(INTERFACE, |body| {
                body.extend(ETHERNET.to_le_bytes());
                body.extend(0u16.to_le_bytes());
                // No limit on the length of a packet.
                body.extend(0u32.to_le_bytes());
                option(body, INTERFACE_NAME, name.as_bytes());
                option(body, INTERFACE_RESOLUTION, &[NANOSECONDS]);
                option(body, END_OF_OPTIONS, b"");
            });
        }
        capture
    }

    /// Writes a frame that `interface` sent at `time`, with a comment unless that is empty.
    pub fn frame(&mut self, time: VirtTime, interface: usize, bytes: &[u8], comment: &str) {
        self.write_block(ENHANCED_PACKET, |body| {
            body.extend((interface as u32).to_le_bytes());
            body.extend(((time.0 >> 32) as u32).to_le_bytes());
            body.extend((time.0 as u32).to_le_bytes());
            body.extend((bytes.len() as u32).to_le_bytes());
            body.extend((bytes.len() as u32).to_le_bytes());
            body.extend(bytes);
            pad(body);
            option(body, PACKET_FLAGS, &OUTBOUND.to_le_bytes());
            if !comment.is_empty() {
                option(body, COMMENT, comment.as_bytes());
            }
            option(body, END_OF_OPTIONS, b"");
        });
    }

    /// Writes what is still buffered.
    ///
    /// # Errors
    /// The first error of the whole capture.
    pub fn finish(mut self) -> io::Result<()> {
        match self.error.take() {
            Some(error) => Err(error),
            None => self.out.flush(),
        }
    }

    /// Writes a block: type, length, body, length again.
    fn write_block(&mut self, kind: u32, fill: impl FnOnce(&mut Vec<u8>)) {
        if self.error.is_some() {
            return;
        }
        self.block.clear();
        self.block.extend(kind.to_le_bytes());
        self.block.extend([0; 4]);
        fill(&mut self.block);
        let length = (self.block.len() as u32 + 4).to_le_bytes();
        self.block[4..8].copy_from_slice(&length);
        self.block.extend(length);
        self.error = self.out.write_all(&self.block).err();
    }
}

/// Appends an option, cut to the length that one can have.
fn option(body: &mut Vec<u8>, code: u16, value: &[u8]) {
    let value = &value[..value.len().min(usize::from(u16::MAX))];
    body.extend(code.to_le_bytes());
    body.extend((value.len() as u16).to_le_bytes());
    body.extend(value);
    pad(body);
}

/// Fills up to a multiple of 32 bits.
fn pad(body: &mut Vec<u8>) {
    body.resize(body.len().next_multiple_of(4), 0);
}
