//! Captures, read back by a reader of their own.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use super::*;

/// A place to write to that can be looked at afterwards.
#[derive(Clone, Default)]
pub struct Shared(Arc<Mutex<Vec<u8>>>);

impl Shared {
    pub fn bytes(&self) -> Vec<u8> {
        self.0.lock().unwrap().clone()
    }
}

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A frame as the file has it.
#[derive(Debug, PartialEq, Eq)]
pub struct Read {
    pub interface: String,
    pub time: u64,
    pub bytes: Vec<u8>,
    pub comment: String,
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

fn half(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(bytes[at..at + 2].try_into().unwrap())
}

/// The options from `at` on as (code, value); they have to end as they should.
fn options(body: &[u8], mut at: usize) -> Vec<(u16, Vec<u8>)> {
    let mut list = Vec::new();
    loop {
        let (code, length) = (half(body, at), usize::from(half(body, at + 2)));
        if code == 0 {
            assert_eq!((length, at + 4), (0, body.len()));
            return list;
        }
        list.push((code, body[at + 4..at + 4 + length].to_vec()));
        at += 4 + length.next_multiple_of(4);
    }
}

fn text(options: &[(u16, Vec<u8>)], code: u16) -> String {
    let found = options.iter().find(|option| option.0 == code);
    found.map_or(String::new(), |option| {
        String::from_utf8(option.1.clone()).unwrap()
    })
}

/// All frames of a file, whose blocks have to be right.
pub fn read(mut file: &[u8]) -> Vec<Read> {
    let (mut interfaces, mut frames) = (Vec::new(), Vec::new());
    let mut is_first = true;
    while !file.is_empty() {
        let (kind, length) = (word(file, 0), word(file, 4) as usize);
        assert_eq!(length % 4, 0);
        assert_eq!(word(file, length - 4) as usize, length);
        let body = &file[8..length - 4];
        assert_eq!(is_first, kind == 0x0a0d_0d0a);
        match kind {
            0x0a0d_0d0a => {
                assert_eq!(word(body, 0), 0x1a2b_3c4d);
                assert_eq!((half(body, 4), half(body, 6)), (1, 0));
                assert_eq!(text(&options(body, 16), 4), "chaosrun");
            }
            1 => {
                assert_eq!(half(body, 0), 1, "not Ethernet");
                let options = options(body, 8);
                assert!(options.contains(&(9, vec![9])), "not in nanoseconds");
                interfaces.push(text(&options, 2));
            }
            6 => {
                let length = word(body, 12) as usize;
                assert_eq!(word(body, 16) as usize, length);
                let options = options(body, 20 + length.next_multiple_of(4));
                assert!(options.contains(&(2, vec![2, 0, 0, 0])), "not outbound");
                frames.push(Read {
                    interface: interfaces[word(body, 0) as usize].clone(),
                    time: u64::from(word(body, 4)) << 32 | u64::from(word(body, 8)),
                    bytes: body[20..20 + length].to_vec(),
                    comment: text(&options, 1),
                });
            }
            other => panic!("block of type {other}"),
        }
        is_first = false;
        file = &file[length..];
    }
    frames
}

#[test]
fn frames_of_every_length_are_read_back() {
    let out = Shared::default();
    let mut capture = Capture::new(Box::new(out.clone()), ["n1", "node-two", "n3.1"]);
    let mut expected = Vec::new();
    for length in 0..40usize {
        let time = 5_000_000_000 * length as u64 + 7;
        let bytes: Vec<u8> = (0..length as u8).collect();
        let comment = if length % 3 == 0 { "" } else { "n2: lost" };
        capture.frame(VirtTime(time), length % 3, &bytes, comment);
        expected.push(Read {
            interface: ["n1", "node-two", "n3.1"][length % 3].to_owned(),
            time,
            bytes,
            comment: comment.to_owned(),
        });
    }
    capture.finish().unwrap();
    assert_eq!(read(&out.bytes()), expected);
}

/// A disk that is full after some bytes.
struct Full(usize);

impl Write for Full {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0 < bytes.len() {
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        self.0 -= bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn the_first_error_is_told_at_the_end_and_nothing_is_written_behind_it() {
    let mut capture = Capture::new(Box::new(Full(200)), ["n1"]);
    capture.frame(VirtTime(1), 0, &[0; 500], "");
    capture.frame(VirtTime(2), 0, &[0; 10], "");
    let error = capture.finish().unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
}

#[test]
fn a_comment_that_is_too_long_is_cut() {
    let out = Shared::default();
    let mut capture = Capture::new(Box::new(out.clone()), ["n1"]);
    capture.frame(VirtTime(1), 0, &[1, 2, 3], &"x".repeat(100_000));
    capture.finish().unwrap();
    assert_eq!(read(&out.bytes())[0].comment.len(), 65_535);
}
