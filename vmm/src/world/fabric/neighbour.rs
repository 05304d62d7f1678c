//! Which frames only serve machines to find each other: ARP (RFC 826) and the solicitations and
//! advertisements of IPv6's Neighbor Discovery (RFC 4861, 4.3 and 4.4).
//!
//! Whoever cuts a network in a test means its packets, as a firewall at the nodes would: that one
//! direction is cut does not make the other one's senders forget where their neighbours are.

use super::switch::{HEADER, TAG};

const ARP: u16 = 0x0806;
const IPV6: u16 = 0x86dd;
/// 802.1Q and 802.1ad: a tag follows, and then another type.
const TAGGED: [u16; 2] = [0x8100, 0x88a8];
/// More tags than these are no neighbour's.
const TAGS_MAX: usize = 2;

/// Bytes of IPv6's header without extensions, which Neighbor Discovery has not.
const IPV6_HEADER: usize = 40;
const NEXT_HEADER: usize = 6;
const HOP_LIMIT: usize = 7;
const ICMPV6: u8 = 58;
/// What proves that no router has passed the packet on (RFC 4861, 7.1).
const NEVER_ROUTED: u8 = 255;
const SOLICITATION: u8 = 135;
const ADVERTISEMENT: u8 = 136;

/// Whether the frame, which has a whole Ethernet header, only serves to find a neighbour.
pub fn finds_neighbours(frame: &[u8]) -> bool {
    let mut at = HEADER;
    for _ in 0..=TAGS_MAX {
        let Some(kind) = frame.get(at - 2..at) else {
            return false;
        };
        match u16::from_be_bytes([kind[0], kind[1]]) {
            ARP => return true,
            IPV6 => return is_discovery(&frame[at..]),
            kind if TAGGED.contains(&kind) => at += TAG,
            _ => return false,
        }
    }
    false
}

fn is_discovery(packet: &[u8]) -> bool {
    let byte = |at: usize| packet.get(at).copied().unwrap_or(0);
    byte(0) >> 4 == 6
        && byte(NEXT_HEADER) == ICMPV6
        && byte(HOP_LIMIT) == NEVER_ROUTED
        && matches!(byte(IPV6_HEADER), SOLICITATION | ADVERTISEMENT)
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// An Ethernet frame without addresses: types and tags, and what follows.
    fn frame(types: &[u8], rest: &[u8]) -> Vec<u8> {
        [&[0; 12][..], types, rest].concat()
    }

    /// The IPv6 packet of an ICMPv6 message.
    pub fn icmpv6(kind: u8, hop_limit: u8) -> Vec<u8> {
        let mut packet = vec![0; IPV6_HEADER + 24];
        packet[0] = 0x60;
        packet[NEXT_HEADER] = ICMPV6;
        packet[HOP_LIMIT] = hop_limit;
        packet[IPV6_HEADER] = kind;
        packet
    }

    #[test]
    fn arp_and_neighbour_discovery_find_neighbours_with_and_without_tags() {
        for kind in [SOLICITATION, ADVERTISEMENT] {
            assert!(finds_neighbours(&frame(&[0x86, 0xdd], &icmpv6(kind, 255))));
        }
        assert!(finds_neighbours(&frame(&[8, 6], &[0; 28])));
        let tagged = [0x81, 0, 0, 7, 8, 6];
        assert!(finds_neighbours(&frame(&tagged, &[0; 28])));
        let twice = [0x88, 0xa8, 0, 7, 0x81, 0, 0, 7, 8, 6];
        assert!(finds_neighbours(&frame(&twice, &[0; 28])));
    }

    #[test]
    fn packets_do_not() {
        let udp = |hop: u8| {
            let mut packet = icmpv6(SOLICITATION, hop);
            packet[NEXT_HEADER] = 17;
            packet
        };
        assert!(!finds_neighbours(&frame(&[8, 0], &[0x45; 40])));
        assert!(!finds_neighbours(&frame(&[0x86, 0xdd], &udp(255))));
        // An echo, a router's advertisement, and a solicitation that came through a router.
        for (kind, hop) in [(128, 255), (134, 255), (SOLICITATION, 64)] {
            let packet = icmpv6(kind, hop);
            assert!(!finds_neighbours(&frame(&[0x86, 0xdd], &packet)), "{kind}");
        }
        // Another protocol that has the same number behind a tag too many.
        let thrice = [0x81, 0, 0, 7].repeat(3);
        assert!(!finds_neighbours(&frame(&thrice, &[8, 6, 0, 0])));
    }

    #[test]
    fn frames_that_end_early_do_not() {
        let whole = frame(&[0x81, 0, 0, 7, 0x86, 0xdd], &icmpv6(ADVERTISEMENT, 255));
        assert!(finds_neighbours(&whole));
        let kind_at = HEADER + TAG + IPV6_HEADER;
        for length in HEADER..=kind_at {
            assert!(!finds_neighbours(&whole[..length]), "{length}");
        }
    }
}
