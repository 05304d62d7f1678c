//! What segments refuse outside of 64-bit mode: accesses through null selectors, writes where there may
//! only be reads, and accesses beyond the limit (Intel SDM vol. 3, 5.3 to 5.5).

use chaosrun_x86::Segment;
use iced_x86::IcedError;
use iced_x86::code_asm::*;

use crate::harness::layout::*;
use crate::harness::{Emit, Machine, enter_user, reg, seg};

const GP: (u8, Option<u32>) = (vector::GP, Some(0));
const SS: (u8, Option<u32>) = (vector::SS, Some(0));

/// Access rights: present, of level 0, read and write or execute, accessed; 32 bits.
const READ_ONLY: u16 = 0xc091;
const READ_WRITE: u16 = 0xc093;
const DOWNWARDS: u16 = 0xc097;
const EXECUTE_ONLY: u16 = 0xc099;
const EXECUTE_READ: u16 = 0xc09b;

fn segment(access: u16, limit: u32) -> Segment {
    Segment {
        selector: selector::DATA,
        access,
        limit,
        base: 0,
    }
}

/// Runs a 32-bit instruction with a segment register as it is said: the exception, if there is one.
fn outcome(
    index: usize,
    content: Segment,
    write: impl Fn(&mut CodeAssembler) -> Result<(), IcedError>,
) -> Option<(u8, Option<u32>)> {
    let (mut m, p) = Machine::compatible(|a| {
        write(a)?;
        a.hlt()
    });
    m.change(|state| {
        state.segments[index] = content;
        state.gpr[reg::RSI] = DATA;
        state.gpr[reg::RDI] = DATA + 0x100;
        state.gpr[reg::RBX] = DATA;
        state.gpr[reg::RCX] = 1;
    });
    match m.run(1000) {
        chaosrun_x86::Exit::Halt => None,
        _ => {
            let e = m.reported();
            assert_eq!(e.rip, p.at(0), "the instruction did not happen");
            Some((e.vector, e.error))
        }
    }
}

/// The same with a segment of which only the access rights are particular.
fn with_rights(index: usize, access: u16, write: Emit) -> Option<(u8, Option<u32>)> {
    outcome(index, segment(access, u32::MAX), write)
}

#[test]
fn a_null_segment_refuses_every_access() {
    let null = Segment::default();
    let cases: [(usize, Emit); 9] = [
        (seg::ES, |a| a.mov(eax, dword_ptr(DATA).es())),
        (seg::ES, |a| a.mov(dword_ptr(DATA).es(), eax)),
        (seg::FS, |a| a.add(dword_ptr(DATA).fs(), 1)),
        (seg::DS, |a| a.push(dword_ptr(DATA))),
        (seg::DS, |a| a.fld(qword_ptr(DATA))),
        (seg::DS, |a| a.movups(xmm0, xmmword_ptr(DATA))),
        (seg::DS, |a| a.xlatb()),
        (seg::ES, |a| a.stosd()),
        (seg::ES, |a| a.rep().movsb()),
    ];
    for (n, (index, write)) in cases.into_iter().enumerate() {
        assert_eq!(outcome(index, null, write), Some(GP), "case {n}");
        assert_eq!(with_rights(index, READ_WRITE, write), None, "case {n}");
    }
    // What does not access memory, and what accesses it through another segment.
    let harmless: [Emit; 4] = [
        |a| a.lea(eax, dword_ptr(DATA)),
        |a| a.nop_1(dword_ptr(DATA)),
        |a| a.mov(eax, dword_ptr(DATA).es()),
        |a| a.push(eax),
    ];
    for write in harmless {
        assert_eq!(outcome(seg::DS, null, write), None);
    }
    // Nothing is repeated.
    assert_eq!(
        outcome(seg::ES, null, |a| {
            a.db(&[0x31, 0xc9])?;
            a.rep().stosd()
        }),
        None
    );
}

#[test]
fn read_only_segments_refuse_writes() {
    let writes: [Emit; 7] = [
        |a| a.mov(dword_ptr(DATA), eax),
        |a| a.add(dword_ptr(DATA), eax),
        |a| a.lock().cmpxchg8b(qword_ptr(DATA)),
        |a| a.setne(byte_ptr(DATA)),
        |a| a.fnstcw(word_ptr(DATA)),
        |a| a.pop(dword_ptr(DATA)),
        |a| a.movups(xmmword_ptr(DATA), xmm0),
    ];
    for write in writes {
        assert_eq!(with_rights(seg::DS, READ_ONLY, write), Some(GP));
        assert_eq!(with_rights(seg::DS, READ_WRITE, write), None);
    }
    let reads: [Emit; 4] = [
        |a| a.mov(eax, dword_ptr(DATA)),
        |a| a.cmp(dword_ptr(DATA), eax),
        |a| a.fld(qword_ptr(DATA)),
        |a| a.lodsb(),
    ];
    for write in reads {
        assert_eq!(with_rights(seg::DS, READ_ONLY, write), None);
        assert_eq!(with_rights(seg::DS, EXECUTE_READ, write), None);
    }
    assert_eq!(
        with_rights(seg::DS, EXECUTE_READ, |a| a.mov(dword_ptr(DATA), eax)),
        Some(GP)
    );
    assert_eq!(with_rights(seg::ES, READ_ONLY, |a| a.movsd()), Some(GP));
    assert_eq!(with_rights(seg::ES, READ_ONLY, |a| a.cmpsd()), None);
}

#[test]
fn code_that_can_only_be_executed_cannot_be_read() {
    let read: Emit = |a| a.mov(eax, dword_ptr(DATA).cs());
    assert_eq!(with_rights(seg::CS, EXECUTE_ONLY, read), Some(GP));
    assert_eq!(with_rights(seg::CS, EXECUTE_READ, read), None);
}

#[test]
fn limits_count_bytes_of_the_operand() {
    let access: [(Emit, u32); 3] = [
        (|a| a.mov(al, byte_ptr(DATA)), 1),
        (|a| a.mov(dword_ptr(DATA), eax), 4),
        (|a| a.movups(xmm0, xmmword_ptr(DATA)), 16),
    ];
    for (write, size) in access {
        let last = DATA as u32 + size - 1;
        assert_eq!(outcome(seg::DS, segment(READ_WRITE, last), write), None);
        assert_eq!(
            outcome(seg::DS, segment(READ_WRITE, last - 1), write),
            Some(GP)
        );
        // Segments that grow downwards have what lies above the limit.
        let first = DATA as u32;
        assert_eq!(outcome(seg::DS, segment(DOWNWARDS, first - 1), write), None);
        assert_eq!(outcome(seg::DS, segment(DOWNWARDS, first), write), Some(GP));
    }
}

#[test]
fn the_stack_has_an_exception_of_its_own() {
    let top = STACK as u32;
    let push: Emit = |a| a.push(eax);
    assert_eq!(outcome(seg::SS, segment(READ_WRITE, top - 1), push), None);
    assert_eq!(
        outcome(seg::SS, segment(READ_WRITE, top - 2), push),
        Some(SS)
    );
    let load: Emit = |a| a.mov(eax, dword_ptr(esp - 4));
    assert_eq!(outcome(seg::SS, segment(READ_WRITE, top - 1), load), None);
    assert_eq!(
        outcome(seg::SS, segment(READ_WRITE, top - 2), load),
        Some(SS)
    );
    let call: Emit = |a| a.db(&[0xe8, 0, 0, 0, 0]);
    assert_eq!(
        outcome(seg::SS, segment(READ_WRITE, top - 2), call),
        Some(SS)
    );
}

#[test]
fn repeated_instructions_stop_at_the_limit() {
    let (mut m, p) = Machine::compatible(|a| {
        a.rep().stosb()?;
        a.hlt()
    });
    m.change(|state| {
        state.segments[seg::ES] = segment(READ_WRITE, DATA as u32 + 9);
        state.gpr[reg::RDI] = DATA;
        state.gpr[reg::RCX] = 100;
    });
    let e = m.event();
    assert_eq!(e.what(), (vector::GP, Some(0), p.at(0)));
    assert_eq!((m.gpr(reg::RCX), m.gpr(reg::RDI)), (90, DATA + 10));
}

#[test]
fn a_read_only_segment_of_the_local_table_refuses_the_users_writes() {
    const LDT: u64 = FREE;
    let run = |kind: u64| {
        let mut m = Machine::new();
        let p = m.load(USER_CODE, 32, |a| {
            a.mov(eax, 7)?;
            a.mov(es, eax)?;
            a.mov(ebx, dword_ptr(USER_DATA).es())?;
            a.mov(dword_ptr(USER_DATA).es(), eax)?;
            a.ud2()
        });
        m.poke64(LDT, 0x00cf_f000_0000_ffff | kind << 40);
        m.change(|state| {
            enter_user(state, selector::USER_CODE32);
            state.rip = USER_CODE;
            state.ldtr = Segment {
                selector: 0x50,
                access: 0x82,
                limit: 0xf,
                base: LDT,
            };
        });
        let e = m.event();
        (e.vector, e.rip - p.at(0), m.peek32(USER_DATA))
    };
    let (_, refused, _) = run(1);
    let (_, ended, _) = run(3);
    assert!(refused < ended);
    assert_eq!(run(1), (vector::GP, refused, 0), "read only");
    assert_eq!(run(3), (vector::UD, ended, 7), "writable");
}

#[test]
fn nothing_is_refused_in_64_bit_mode() {
    let (mut m, _) = Machine::kernel(|a| {
        a.mov(dword_ptr(DATA), eax)?;
        a.mov(dword_ptr(DATA).fs(), eax)?;
        a.stosd()?;
        a.hlt()
    });
    m.change(|state| {
        for index in [seg::DS, seg::ES, seg::FS] {
            state.segments[index] = Segment::default();
        }
        state.gpr[reg::RDI] = DATA;
    });
    m.halt();
}

#[test]
fn cmpxchg8b_is_aligned_to_all_of_its_operand() {
    for (address, aligned) in [(USER_DATA + 8, true), (USER_DATA + 4, false)] {
        let (mut m, p) = Machine::user(|a| {
            a.cmpxchg8b(qword_ptr(address))?;
            a.ud2()
        });
        m.change(|state| {
            state.cr0 |= control::CR0_AM;
            state.rflags |= flag::AC;
        });
        let e = m.event();
        if aligned {
            assert_eq!((e.vector, e.rip), (vector::UD, p.at(1)));
        } else {
            assert_eq!(e.what(), (vector::AC, Some(0), p.at(0)));
        }
    }
}
