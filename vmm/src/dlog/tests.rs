use chaosrun_x86::CpuState;

use super::*;
use crate::time::VirtTime;

fn access(address: u64, value: u64) -> Transfer {
    Transfer {
        vcpu: 1,
        write: true,
        address,
        size: 4,
        value,
    }
}

fn state() -> Box<CpuState> {
    // There is no default state on purpose; a zeroed one is made of its wire form.
    let zeros = vec![0; 4096];
    Box::new(postcard::from_bytes(&zeros).unwrap())
}

fn every_event() -> Vec<Event> {
    vec![
        Event::Interrupt {
            vcpu: 0,
            vector: 0xec,
        },
        Event::Nmi { vcpu: 3 },
        Event::Init { vcpu: 1 },
        Event::Startup {
            vcpu: 1,
            page: 0x9a,
        },
        Event::Mmio(access(0xfee0_0380, 1000)),
        Event::Port(access(0x3f8, 65)),
        Event::Msr(access(0x6e0, u64::MAX)),
        Event::Slice {
            vcpu: 2,
            budget: u64::MAX,
        },
        Event::Timer { due: VirtTime(77) },
        Event::Console(b"hello\n".to_vec()),
        Event::Idle {
            until: VirtTime(u64::MAX),
        },
        Event::Registers {
            vcpu: 0,
            state: state(),
        },
        Event::Pages(vec![(7, u128::MAX), (8, 1)]),
        Event::Hash { chain: 0xabcd },
        Event::End {
            why: "power-off".to_owned(),
        },
    ]
}

fn log_of(events: &[Event]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new(), "a machine").unwrap();
    for (index, event) in events.iter().enumerate() {
        writer
            .write(VirtTime(index as u64 * 1000), index as u64 * 3, event)
            .unwrap();
    }
    writer.finish().unwrap()
}

fn compare(left: &[u8], right: &[u8], ignore: Ignore) -> Option<Divergence> {
    diff(
        Reader::new(left).unwrap(),
        Reader::new(right).unwrap(),
        ignore,
    )
    .unwrap()
}

#[test]
fn every_event_survives_a_round_trip() {
    let log = log_of(&every_event());
    let reader = Reader::new(&log[..]).unwrap();
    assert_eq!(reader.title(), "a machine");
    let records: Vec<Record> = reader.map(Result::unwrap).collect();
    let events: Vec<Event> = records.iter().map(|record| record.event.clone()).collect();
    assert_eq!(events, every_event());
    assert_eq!((records[4].time, records[4].retired), (VirtTime(4000), 12));
}

#[test]
fn every_event_prints_its_kind() {
    let lines: Vec<String> = every_event().iter().map(Event::to_string).collect();
    for (event, line) in every_event().iter().zip(&lines) {
        assert!(line.starts_with(event.kind()), "{line}");
    }
    assert_eq!(lines[5], "port      vcpu 1 0x3f8/4 <- 0x41");
    assert_eq!(lines[9], "console   \"hello\\n\"");
}

#[test]
fn long_console_output_is_split_and_complete() {
    let text: Vec<u8> = (0..100_000u32).map(|i| i as u8).collect();
    let log = log_of(&[Event::Console(text.clone())]);
    let mut read = Vec::new();
    for record in Reader::new(&log[..]).unwrap() {
        match record.unwrap().event {
            Event::Console(bytes) => read.extend(bytes),
            other => panic!("{other}"),
        }
    }
    assert_eq!(read, text);
}

#[test]
fn equal_logs_do_not_differ() {
    let log = log_of(&every_event());
    assert_eq!(compare(&log, &log, Ignore::default()), None);
}

#[test]
fn the_first_divergence_is_told_with_what_came_before() {
    let mut other = every_event();
    other[5] = Event::Port(access(0x3f8, 66));
    other[8] = Event::Nmi { vcpu: 0 };
    let (left, right) = (log_of(&every_event()), log_of(&other));
    let found = compare(&left, &right, Ignore::default()).unwrap();
    assert_eq!((found.index, found.what), (5, "the payloads differ"));
    assert_eq!(found.context.len(), 5);
    assert_eq!(found.left.unwrap().event, every_event()[5]);
    let found = compare(
        &left,
        &right,
        Ignore {
            payloads: true,
            times: false,
        },
    )
    .unwrap();
    assert_eq!((found.index, found.what), (8, "the events differ"));
}

#[test]
fn moments_count_unless_they_are_ignored() {
    let shifted = {
        let mut writer = Writer::new(Vec::new(), "").unwrap();
        writer.write(VirtTime(5), 9, &every_event()[0]).unwrap();
        writer.finish().unwrap()
    };
    let plain = log_of(&every_event()[..1]);
    let found = compare(&plain, &shifted, Ignore::default()).unwrap();
    assert_eq!(found.what, "the moments differ");
    assert_eq!(
        compare(
            &plain,
            &shifted,
            Ignore {
                payloads: false,
                times: true
            }
        ),
        None
    );
}

#[test]
fn a_log_that_is_a_prefix_of_the_other_differs_at_its_end() {
    let (all, some) = (log_of(&every_event()), log_of(&every_event()[..3]));
    let found = compare(&some, &all, Ignore::default()).unwrap();
    assert!(found.to_string().contains("- (end of the log)"));
    assert_eq!(
        (found.index, found.what, found.left),
        (3, "the left log ends", None)
    );
}

#[test]
fn stats_count_by_kind_and_address() {
    let mut events = every_event();
    events.push(Event::Port(access(0x3f8, 1)));
    let log = log_of(&events);
    let stats = Stats::of(Reader::new(&log[..]).unwrap()).unwrap();
    assert_eq!(stats.records, 16);
    assert_eq!(stats.addresses[&("port", 0x3f8)], 2);
    assert_eq!(stats.vectors[&0xec], 1);
    assert_eq!(stats.console_bytes, 6);
    assert!(stats.to_string().contains("port 0x3f8"));
}

#[test]
fn every_truncation_ends_with_an_error_or_at_a_record() {
    let log = log_of(&every_event());
    let header = 14 + "a machine".len();
    for length in 0..log.len() {
        match Reader::new(&log[..length]) {
            Err(_) => assert!(length < header, "{length}"),
            Ok(reader) => {
                let results: Vec<_> = reader.collect();
                let failed = results.iter().filter(|result| result.is_err()).count();
                assert!(failed <= 1 && results.len() <= 15);
            }
        }
    }
}

#[test]
fn damaged_bytes_never_panic_and_never_allocate_beyond_a_record() {
    let log = log_of(&every_event());
    for at in 0..log.len() {
        for value in [0, 0x7f, 0x80, 0xff] {
            let mut log = log.clone();
            log[at] = value;
            if let Ok(reader) = Reader::new(&log[..]) {
                assert!(reader.count() < 1000);
            }
        }
    }
}

#[test]
fn other_files_and_versions_are_refused_by_name() {
    assert!(matches!(
        Reader::new(&b"#!/bin/sh\necho 123456"[..]),
        Err(DlogError::Magic)
    ));
    assert!(matches!(Reader::new(&b""[..]), Err(DlogError::Magic)));
    let mut log = log_of(&[]);
    log[8] = 9;
    assert!(matches!(
        Reader::new(&log[..]),
        Err(DlogError::Version { major: 9, minor: 0 })
    ));
    let mut log = log_of(&[]);
    log[13] = 0xff;
    assert!(matches!(
        Reader::new(&log[..]),
        Err(DlogError::Damaged { .. })
    ));
}

#[test]
fn a_length_beyond_the_limit_is_refused_before_anything_is_read() {
    let mut log = log_of(&[]);
    log.extend([0xff, 0xff, 0x7f]);
    let mut reader = Reader::new(&log[..]).unwrap();
    assert!(matches!(
        reader.next(),
        Some(Err(DlogError::Damaged { index: 0, .. }))
    ));
    assert!(reader.next().is_none());
}
