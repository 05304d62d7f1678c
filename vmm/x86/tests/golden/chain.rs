//! The chain of a guest.

use std::fmt;

use chaosrun_x86::Exit;
use iced_x86::{Decoder, DecoderOptions};
use xxhash_rust::xxh3::Xxh3;

use crate::harness::Machine;
use crate::harness::layout::{PML4, TABLES, TABLES_END, page};
use crate::harness::same::memory;

/// Instructions between two links.
pub const STEP: u64 = 400;

/// The programs of a guest, and the most links that one of them adds.
const PROGRAMS: u64 = 6;
const LINKS: usize = 12;

/// A machine with the program of this number.
pub type Guest = fn(u64) -> Machine;

/// The state that a guest has come to.
pub struct Link {
    /// The number of the program.
    pub program: u64,
    /// Instructions of the program that are retired.
    pub retired: u64,
    /// A hash of registers and RAM.
    pub hash: u64,
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            program,
            retired,
            hash,
        } = self;
        write!(f, "{program} {retired} {hash:016x}")
    }
}

/// The chain of a guest whose code is compiled after so many executions.
pub fn of(guest: Guest, compile_after: u8) -> Vec<Link> {
    let mut links = Vec::new();
    for program in 0..PROGRAMS {
        let mut m = guest(program);
        m.code.compile_after(compile_after);
        note_accesses(&mut m);
        let end = links.len() + LINKS;
        links.push(link(&m, program));
        while links.len() < end {
            let halted = step(&mut m);
            links.push(link(&m, program));
            if halted {
                break;
            }
        }
    }
    links
}

/// Marks all pages as accessed and dirty, so that no walk of the page tables writes to memory, and no link
/// depends on what the TLB holds.
fn note_accesses(m: &mut Machine) {
    for table in [PML4, TABLES].into_iter().zip([TABLES, TABLES_END]) {
        for entry in (table.0..table.1).step_by(8) {
            let value = m.peek64(entry);
            if value & page::P != 0 {
                m.poke64(entry, value | page::A | page::D);
            }
        }
    }
}

/// Executes as many instructions as there are between two links, and tells if the guest has halted.
fn step(m: &mut Machine) -> bool {
    let end = m.cpu.retired() + STEP;
    loop {
        match m.run(end - m.cpu.retired()) {
            Exit::Budget => return false,
            Exit::Halt => return true,
            Exit::Stop => skip_faulting(m),
            other => panic!("unexpected exit {other:?}"),
        }
    }
}

/// Lets the handler that has just reported return behind the instruction that faulted.
fn skip_faulting(m: &mut Machine) {
    let event = m.reported();
    // Traps are reported behind the instruction.
    if matches!(event.vector, 1 | 3 | 4 | 0x20..) {
        return;
    }
    let mut code = [0; 15];
    assert!(m.memory.read(event.rip, &mut code));
    let instruction = Decoder::new(64, &code, DecoderOptions::NONE).decode();
    m.poke64(event.frame, event.rip + instruction.len() as u64);
}

fn link(m: &Machine, program: u64) -> Link {
    let mut hash = Xxh3::new();
    m.cpu.state().hash_into(&mut |part| hash.update(part));
    hash.update(&memory(m));
    Link {
        program,
        retired: m.cpu.retired(),
        hash: hash.digest(),
    }
}

#[test]
fn a_link_sees_every_bit_of_registers_and_memory() {
    let same = |change: fn(&mut Machine)| {
        let (mut m, _) = Machine::kernel(|a| a.hlt());
        let before = link(&m, 0).hash;
        change(&mut m);
        before == link(&m, 0).hash
    };
    assert!(same(|_| {}));
    assert!(!same(|m| m.change(|state| state.gpr[9] ^= 1 << 63)));
    assert!(!same(|m| m.change(|state| state.xmm[15][1] ^= 1)));
    assert!(!same(|m| m.change(|state| state.x87.regs[7].mantissa ^= 1)));
    assert!(!same(|m| m.change(|state| state.rflags ^= 1)));
    assert!(!same(|m| m.poke(0x3f_ffff, &[1])));
}
