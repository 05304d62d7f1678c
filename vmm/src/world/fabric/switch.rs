//! A learning switch: which port an Ethernet address was last seen at (IEEE 802.1D, 7.8).
//!
//! One table serves the whole network. Addresses do not age: a node that is restarted has the same
//! address, and one that takes over another's is learned with its first frame.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Addresses that a switch remembers. When it is full, frames to further ones are flooded.
const TABLE_MAX: usize = 4096;
/// Bytes of an Ethernet header: destination, source, type.
pub const HEADER: usize = 14;
/// Bytes of an 802.1Q tag, which a frame may have besides its header.
pub const TAG: usize = 4;

/// An Ethernet address.
pub type Mac = [u8; 6];

/// Where a frame goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forward {
    /// To this port.
    Port(usize),
    /// To all ports but the sender's.
    Flood,
}

/// What a switch has learned.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SwitchState {
    table: BTreeMap<Mac, usize>,
}

impl SwitchState {
    /// Learns from `frame`, which came in at `port` and has a whole header, and says where it goes.
    pub fn forward(&mut self, port: usize, frame: &[u8]) -> Forward {
        let (destination, source) = (address(frame, 0), address(frame, 6));
        let known = self.table.contains_key(&source);
        if !is_group(&source) && (known || self.table.len() < TABLE_MAX) {
            self.table.insert(source, port);
        }
        match self.table.get(&destination) {
            Some(&port) if !is_group(&destination) => Forward::Port(port),
            _ => Forward::Flood,
        }
    }
}

/// Whether `address` is a group's: broadcast or multicast.
fn is_group(address: &Mac) -> bool {
    address[0] & 1 != 0
}

fn address(frame: &[u8], at: usize) -> Mac {
    let mut address = Mac::default();
    address.copy_from_slice(&frame[at..at + 6]);
    address
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Mac = [2, 0, 0, 0, 0, 1];
    const B: Mac = [2, 0, 0, 0, 0, 2];
    const ALL: Mac = [0xff; 6];

    fn frame(to: Mac, from: Mac) -> Vec<u8> {
        [&to[..], &from[..], &[8, 0]].concat()
    }

    #[test]
    fn unknown_addresses_are_flooded_until_they_are_learned() {
        let mut switch = SwitchState::default();
        assert_eq!(switch.forward(0, &frame(B, A)), Forward::Flood);
        assert_eq!(switch.forward(1, &frame(A, B)), Forward::Port(0));
        assert_eq!(switch.forward(0, &frame(B, A)), Forward::Port(1));
    }

    #[test]
    fn broadcast_and_multicast_always_go_to_all() {
        let mut switch = SwitchState::default();
        let group = [1, 0, 0x5e, 0, 0, 1];
        // Frames whose source is a group address are against the rules and teach nothing.
        switch.forward(1, &frame(A, ALL));
        switch.forward(1, &frame(A, group));
        assert_eq!(switch.forward(0, &frame(ALL, A)), Forward::Flood);
        assert_eq!(switch.forward(0, &frame(group, A)), Forward::Flood);
    }

    #[test]
    fn an_address_that_moves_is_followed() {
        let mut switch = SwitchState::default();
        switch.forward(0, &frame(ALL, A));
        switch.forward(2, &frame(ALL, A));
        assert_eq!(switch.forward(1, &frame(A, B)), Forward::Port(2));
    }

    #[test]
    fn a_flood_of_addresses_does_not_grow_the_table_without_bound() {
        let mut switch = SwitchState::default();
        switch.forward(0, &frame(ALL, A));
        for number in 0..10_000u32 {
            let [a, b, c, d] = number.to_be_bytes();
            switch.forward(1, &frame(ALL, [6, 0, a, b, c, d]));
        }
        assert_eq!(switch.table.len(), TABLE_MAX);
        assert_eq!(switch.forward(1, &frame(A, B)), Forward::Port(0));
        switch.forward(3, &frame(ALL, A));
        assert_eq!(switch.forward(1, &frame(A, B)), Forward::Port(3));
    }
}
