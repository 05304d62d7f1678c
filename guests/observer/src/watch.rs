//! Samples of what a process sees of its machine: clocks, timers, speed, memory, interrupts.

use std::collections::BTreeMap;
use std::fs;
use std::io;

use chaosrun_sdk::lifecycle::{send_event, setup_complete};
use serde_json::json;

use crate::clock::Clock;

/// How long the loop sleeps, in microseconds.
const TICK_US: u64 = 5_000;
/// How many sleeps are between two samples.
const TICKS: u32 = 10;
/// How long the speed is measured for each sample, in microseconds.
const SPIN_US: u64 = 1_000;

/// Samples for ever; `name` is in each sample.
pub fn watch(name: &str) -> io::Result<()> {
    let clock = Clock::new();
    setup_complete(&json!(null));
    let uptime = fs::read_to_string("/proc/uptime")?;
    send_event(
        "started",
        &json!({
            "name": name, "pid": std::process::id(), "uptime": uptime.split_whitespace().next(),
        }),
    );
    loop {
        let (mut latest, mut sum) = (0, 0);
        for _ in 0..TICKS {
            let late = clock.sleep_to_multiple(TICK_US);
            latest = latest.max(late);
            sum += late;
        }
        send_event(
            "sample",
            &json!({
                "name": name,
                "pid": std::process::id(),
                "steady_us": clock.steady_us(),
                "wall_ahead_us": clock.wall_ahead_us(),
                "latest_us": latest,
                "late_us": sum / u64::from(TICKS),
                "turns": turns(&clock),
                "available_kib": available_kib()?,
                "interrupts": interrupts(&fs::read_to_string("/proc/interrupts")?),
            }),
        );
    }
}

/// How often a loop that looks at the clock goes round in a millisecond.
fn turns(clock: &Clock) -> u64 {
    let end = clock.steady_us() + SPIN_US;
    let mut turns = 0;
    while clock.steady_us() < end {
        turns += 1;
    }
    turns
}

fn available_kib() -> io::Result<u64> {
    let table = fs::read_to_string("/proc/meminfo")?;
    let line = table.lines().find(|line| line.starts_with("MemAvailable:"));
    let number = line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok());
    number.ok_or(io::ErrorKind::InvalidData.into())
}

/// The sums of `/proc/interrupts` over all processors, by the first word of the line.
fn interrupts(table: &str) -> BTreeMap<&str, u64> {
    let lines = table.lines().filter_map(|line| line.split_once(':'));
    lines
        .map(|(name, rest)| {
            let numbers = rest.split_whitespace().map_while(|n| n.parse::<u64>().ok());
            (name.trim(), numbers.sum())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interrupts_are_summed_over_processors() {
        let table = "      CPU0  CPU1\n  4:  1  2  IO-APIC 4-edge ttyS0\nNMI:  0  3  Non-maskable\nERR: 5\n";
        let sums = interrupts(table);
        assert_eq!((sums["4"], sums["NMI"], sums["ERR"]), (3, 3, 5));
    }
}
