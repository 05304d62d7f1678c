//! Datagrams there and back.

use std::io::{self, ErrorKind};
use std::net::UdpSocket;
use std::thread;

use chaosrun_sdk::lifecycle::{send_event, setup_complete};
use serde_json::json;

use crate::clock::Clock;

const PORT: u16 = 7000;
/// The length of a datagram: a number, the sender's clock, the answerer's clock, and a pattern.
const LENGTH: usize = 200;
/// Where the pattern begins.
const PATTERN: usize = 24;
/// The distance of two datagrams in microseconds.
const PACE_US: u64 = 5_000;
/// The distance of two datagrams that want no answer, in microseconds.
const SHOUT_US: u64 = 50_000;

/// Answers each datagram with its content, in which it writes its own clock.
pub fn echo() -> io::Result<()> {
    let clock = Clock::new();
    let socket = UdpSocket::bind(("0.0.0.0", PORT))?;
    setup_complete(&json!(null));
    let mut datagram = [0; 2048];
    loop {
        let (length, from) = socket.recv_from(&mut datagram)?;
        if length >= PATTERN {
            datagram[16..PATTERN].copy_from_slice(&clock.steady_us().to_le_bytes());
        }
        // A full queue or a missing neighbour is the network's matter, which the other side measures.
        let _ = socket.send_to(&datagram[..length], from);
    }
}

/// Sends a datagram every 5 ms for ever, and tells of each answer.
pub fn probe(host: &str) -> io::Result<()> {
    let clock = Clock::new();
    let socket = UdpSocket::bind(("0.0.0.0", 0))?;
    socket.connect((host, PORT))?;
    setup_complete(&json!(null));
    // Waiting for an answer with a time limit is as coarse as the kernel's tick, so another thread waits.
    let sending = socket.try_clone()?;
    thread::spawn(move || send(&sending, &clock));
    loop {
        receive(&socket, &clock)?;
    }
}

fn send(socket: &UdpSocket, clock: &Clock) {
    let mut told = 0;
    for number in 0u64.. {
        clock.sleep_to_multiple(PACE_US);
        let mut datagram = [0; LENGTH];
        datagram[..8].copy_from_slice(&number.to_le_bytes());
        datagram[8..16].copy_from_slice(&clock.steady_us().to_le_bytes());
        datagram[PATTERN..].copy_from_slice(&pattern(number));
        let _ = socket.send(&datagram);
        let damaged = damaged_datagrams();
        if damaged != told {
            told = damaged;
            send_event("damaged", &json!({ "datagrams": damaged }));
        }
    }
}

fn receive(socket: &UdpSocket, clock: &Clock) -> io::Result<()> {
    let mut datagram = [0; 2048];
    let length = match socket.recv(&mut datagram) {
        Ok(length) => length,
        // An earlier datagram met a closed port or found nobody.
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::ConnectionRefused | ErrorKind::HostUnreachable | ErrorKind::Interrupted
            ) =>
        {
            return Ok(());
        }
        Err(error) => return Err(error),
    };
    let now = clock.steady_us();
    let word = |at: usize| u64::from_le_bytes(datagram[at..at + 8].try_into().unwrap_or_default());
    let (number, sent, theirs) = (word(0), word(8), word(16));
    let intact = length == LENGTH && datagram[PATTERN..LENGTH] == pattern(number);
    send_event(
        "answer",
        &json!({
            "number": number, "sent_us": sent, "round_trip_us": now.saturating_sub(sent),
            "theirs_us": theirs, "intact": intact,
        }),
    );
    Ok(())
}

/// Sends a numbered datagram every 50 ms for ever, and takes none.
pub fn shout(host: &str) -> io::Result<()> {
    doubt_neighbours()?;
    let clock = Clock::new();
    let socket = UdpSocket::bind(("0.0.0.0", 0))?;
    socket.connect((host, PORT))?;
    setup_complete(&json!(null));
    for number in 0u64.. {
        clock.sleep_to_multiple(SHOUT_US);
        // That nobody is found is what the other side measures.
        let _ = socket.send(&number.to_le_bytes());
    }
    Ok(())
}

/// Tells of each numbered datagram, and answers none.
pub fn listen() -> io::Result<()> {
    doubt_neighbours()?;
    let socket = UdpSocket::bind(("0.0.0.0", PORT))?;
    setup_complete(&json!(null));
    let mut number = [0; 8];
    loop {
        socket.recv(&mut number)?;
        send_event("heard", &json!({ "number": u64::from_le_bytes(number) }));
    }
}

/// Has the kernel ask for neighbours again that it has not heard of for 1.5 s, and a second later, instead of
/// 45 s and five more.
fn doubt_neighbours() -> io::Result<()> {
    for interface in std::fs::read_dir("/proc/sys/net/ipv4/neigh")? {
        let knobs = interface?.path();
        std::fs::write(knobs.join("base_reachable_time_ms"), "1000")?;
        std::fs::write(knobs.join("delay_first_probe_time"), "1")?;
    }
    Ok(())
}

/// What a datagram of this number is filled with.
fn pattern(number: u64) -> [u8; LENGTH - PATTERN] {
    std::array::from_fn(|at| (number as u8).wrapping_mul(31).wrapping_add(at as u8))
}

/// The datagrams and packets that the kernel dropped because their checksums were wrong.
fn damaged_datagrams() -> u64 {
    let table = std::fs::read_to_string("/proc/net/snmp").unwrap_or_default();
    counter(&table, "Udp:", "InCsumErrors") + counter(&table, "Ip:", "InHdrErrors")
}

/// A counter of `/proc/net/snmp`: a line of names, then a line of numbers, both with the same prefix.
fn counter(table: &str, prefix: &str, name: &str) -> u64 {
    let mut lines = table.lines().filter(|line| line.starts_with(prefix));
    let (Some(names), Some(numbers)) = (lines.next(), lines.next()) else {
        return 0;
    };
    let mut pairs = names.split_whitespace().zip(numbers.split_whitespace());
    let number = pairs.find(|(other, _)| *other == name);
    number
        .and_then(|(_, number)| number.parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_is_found_by_the_place_of_its_name() {
        let table = "Ip: InReceives InHdrErrors\nIp: 9 2\nUdp: A InCsumErrors\nUdp: 1 7\n";
        assert_eq!(counter(table, "Udp:", "InCsumErrors"), 7);
        assert_eq!(counter(table, "Ip:", "InHdrErrors"), 2);
        assert_eq!(counter(table, "Tcp:", "InHdrErrors"), 0);
    }
}
