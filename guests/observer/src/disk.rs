//! What a disk does with what is written to it. All accesses bypass the page cache.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::thread;
use std::time::Duration;

use chaosrun_sdk::lifecycle::{send_event, setup_complete};
use serde_json::{Value, json};

use crate::clock::Clock;

const BLOCK: usize = 4096;
const SECTOR: usize = 512;
/// How many blocks the crash modes write.
const CRASH_BLOCKS: u64 = 64;

/// A block of memory that begins at a multiple of its length, as direct access wants it. It is a part of a
/// larger one, because the compiler places types of such an alignment wrongly on the stack.
struct Buffer {
    memory: Vec<u8>,
    start: usize,
}

impl Buffer {
    fn new() -> Self {
        let memory = vec![0; 2 * BLOCK];
        let start = memory.as_ptr().align_offset(BLOCK);
        Self { memory, start }
    }

    fn bytes(&self) -> &[u8] {
        &self.memory[self.start..][..BLOCK]
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.memory[self.start..][..BLOCK]
    }
}

/// What block `number` holds when it was written for the `round`th time.
fn content(number: u64, round: u64) -> Buffer {
    let mut buffer = Buffer::new();
    for (sector, bytes) in buffer.bytes_mut().chunks_mut(SECTOR).enumerate() {
        for (at, byte) in bytes.iter_mut().enumerate() {
            *byte = (number as u8)
                .wrapping_mul(7)
                .wrapping_add(at as u8)
                .wrapping_add(sector as u8);
        }
        bytes[..8].copy_from_slice(&round.to_le_bytes());
    }
    buffer
}

fn open(path: &str) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).custom_flags(libc::O_DIRECT);
    options.open(path)
}

fn write(disk: &File, number: u64, round: u64) -> io::Result<()> {
    disk.write_all_at(content(number, round).bytes(), number * BLOCK as u64)
}

fn read(disk: &File, number: u64) -> io::Result<Buffer> {
    let mut buffer = Buffer::new();
    disk.read_exact_at(buffer.bytes_mut(), number * BLOCK as u64)?;
    Ok(buffer)
}

/// Zero, or the number of the error.
fn code<T>(result: &io::Result<T>) -> Value {
    result
        .as_ref()
        .err()
        .map_or(json!(0), |error| json!(error.raw_os_error()))
}

/// Writes a new block and an old one, flushes, and reads the new one again, over and over. The old block
/// is there from the beginning.
pub fn exercise(path: &str) -> io::Result<()> {
    let disk = open(path)?;
    write(&disk, 0, 0)?;
    disk.sync_data()?;
    let clock = Clock::new();
    setup_complete(&json!(null));
    for number in 1.. {
        clock.sleep_to_multiple(20_000);
        let begin = clock.steady_us();
        let new = write(&disk, number, 1);
        let written = clock.steady_us();
        let old = write(&disk, 0, number);
        let flushed = disk.sync_data();
        let back = read(&disk, number);
        let wrong_bits = back.as_ref().map_or(0, |back| {
            let wanted = content(number, 1);
            let pairs = back.bytes().iter().zip(wanted.bytes());
            pairs.map(|(a, b)| (a ^ b).count_ones()).sum()
        });
        send_event(
            "block",
            &json!({
                "write": code(&new), "rewrite": code(&old), "flush": code(&flushed),
                "read": code(&back), "write_us": written - begin, "wrong_bits": wrong_bits,
            }),
        );
    }
    Ok(())
}

/// Counts the starts of the machine on the disk, and tells what the last life left there. Then writes
/// all blocks again and again, each time with a higher number in each sector.
pub fn crash(path: &str, flush: bool) -> io::Result<()> {
    let disk = open(path)?;
    let life = life(&disk)?;
    let (mut torn, mut highest, mut lowest) = (0, 0, u64::MAX);
    for number in 1..=CRASH_BLOCKS {
        let block = read(&disk, number)?;
        let rounds = block
            .bytes()
            .chunks(SECTOR)
            .map(|sector| u64::from_le_bytes(sector[..8].try_into().unwrap_or_default()));
        let rounds: Vec<u64> = rounds.collect();
        let (least, most) = (rounds.iter().min(), rounds.iter().max());
        torn += u64::from(least != most);
        highest = highest.max(most.copied().unwrap_or(0));
        lowest = lowest.min(least.copied().unwrap_or(0));
    }
    let uptime = std::fs::read_to_string("/proc/uptime").unwrap_or_default();
    send_event(
        "life",
        &json!({
            "number": life, "torn_blocks": torn, "highest_round": highest, "lowest_round": lowest,
            "uptime": uptime.split_whitespace().next(),
        }),
    );
    setup_complete(&json!(null));
    for round in highest + 1.. {
        for number in 1..=CRASH_BLOCKS {
            write(&disk, number, round)?;
        }
        if flush {
            disk.sync_data()?;
            send_event("flushed", &json!({ "round": round }));
        }
        thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// Counts up the number of lives in block 0, durably.
fn life(disk: &File) -> io::Result<u64> {
    let before = read(disk, 0)?;
    let life = 1 + u64::from_le_bytes(before.bytes()[..8].try_into().unwrap_or_default());
    write(disk, 0, life)?;
    disk.sync_data()?;
    Ok(life)
}
