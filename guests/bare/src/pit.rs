//! The interval timer.

use crate::console::{check, value};
use crate::cpu;

const CHANNEL_0: u16 = 0x40;
const CHANNEL_2: u16 = 0x42;
const CONTROL: u16 = 0x43;
const GATE: u16 = 0x61;

fn load(channel: u16, count: u16) {
    let [low, high] = count.to_le_bytes();
    cpu::out8(channel, low);
    cpu::out8(channel, high);
}

/// Has channel 0 raise its line once, after `count` of its ticks.
pub fn one_shot(count: u16) {
    cpu::out8(CONTROL, 0x30);
    load(CHANNEL_0, count);
}

/// Channel 0 without a count: nothing is under way.
pub fn stop() {
    cpu::out8(CONTROL, 0x30);
}

/// The status of channel 0.
fn status() -> u8 {
    cpu::out8(CONTROL, 0xe2);
    cpu::in8(CHANNEL_0)
}

fn latched(channel: u16, command: u8) -> u16 {
    cpu::out8(CONTROL, command);
    u16::from_le_bytes([cpu::in8(channel), cpu::in8(channel)])
}

/// Waits for the end of channel 0's count by looking at its output. Returns whether it came.
pub fn wait_for_output() -> bool {
    (0..1_000_000).any(|_| status() & 0x80 != 0)
}

/// Modes, latches and the gate of channel 2.
pub fn run() {
    stop();
    value("status without a count", status().into());
    one_shot(50_000);
    let first = latched(CHANNEL_0, 0);
    check(
        "it counts",
        (0..100_000).any(|_| latched(CHANNEL_0, 0) < first),
    );
    one_shot(100);
    check("one shot ends", wait_for_output());
    cpu::out8(CONTROL, 0x34);
    load(CHANNEL_0, 1_000);
    value("periodic status", (status() & 0x3f).into());
    let wraps = {
        let mut last = latched(CHANNEL_0, 0);
        (0..1_000_000).any(|_| {
            let now = latched(CHANNEL_0, 0);
            let wrapped = now > last;
            last = now;
            wrapped
        })
    };
    check("periodic wraps", wraps);
    stop();
    // Channel 2 counts only while its gate is open.
    cpu::out8(GATE, 0);
    cpu::out8(CONTROL, 0xb0);
    load(CHANNEL_2, 500);
    let stands = (0..50).all(|_| cpu::in8(GATE) & 0x20 == 0);
    check("closed gate", stands);
    cpu::out8(GATE, 1);
    check(
        "open gate",
        (0..1_000_000).any(|_| cpu::in8(GATE) & 0x20 != 0),
    );
    cpu::out8(GATE, 0);
    cpu::out8(CONTROL, 0xb0);
}
