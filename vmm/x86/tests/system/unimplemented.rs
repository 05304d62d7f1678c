//! What the CPU lacks ends the run with an error that says what and where; nothing is skipped.

use chaosrun_x86::{Exit, Unimplemented};
use iced_x86::code_asm::rax;

use crate::harness::Machine;
use crate::harness::layout::*;
use crate::harness::reg;

#[track_caller]
fn unimplemented(m: &mut Machine) -> Unimplemented {
    match m.run(100) {
        Exit::Unimplemented(what) => *what,
        other => panic!("expected an unimplemented exit, got {other:?}"),
    }
}

#[test]
fn call_gate_ends_the_run_and_names_instruction_bytes_and_place() {
    let (mut m, p) = Machine::kernel(|a| {
        a.nop()?;
        a.db(&[0xff, 0x18]) // CALL m16:32, RAX its address
    });
    m.describe(selector::SPARE, 0x0000_8c00_0008_0000);
    m.poke64(DATA, u64::from(selector::SPARE) << 32);
    m.change(|state| state.gpr[reg::RAX] = DATA);
    let before = m.cpu.retired();
    let what = unimplemented(&mut m);
    assert_eq!((what.vcpu, what.rip, what.mode), (0, p.at(1), "64-bit"));
    assert_eq!(what.bytes, [0xff, 0x18]);
    assert!(
        what.what.contains("call") && what.what.contains("gate"),
        "{}",
        what.what
    );
    let text = what.to_string();
    assert!(
        text.contains("0x20001") && text.contains("ff, 18") && text.contains("64-bit"),
        "{text}"
    );
    assert_eq!(m.cpu.retired() - before, 1);
    let state = m.cpu.state();
    assert_eq!((state.rip, state.gpr[reg::RSP]), (p.at(1), STACK));
}

#[test]
fn code_outside_ram_ends_the_run() {
    let (mut m, _) = Machine::kernel(|a| a.jmp(rax));
    m.map(0x6000_0000_0000, 0xfee0_0000 | page::P);
    m.change(|state| state.gpr[reg::RAX] = 0x6000_0000_0123);
    let what = unimplemented(&mut m);
    assert_eq!((what.rip, what.bytes.len()), (0x6000_0000_0123, 0));
    assert!(what.what.contains("0xfee00123"), "{}", what.what);
}

#[test]
fn bytes_of_an_instruction_across_pages_are_complete() {
    let at = FREE + 4095;
    let (mut m, _) = Machine::at(at, |a| a.db(&[0xff, 0x18]));
    m.describe(selector::SPARE, 0x0000_8c00_0008_0000);
    m.poke64(DATA, u64::from(selector::SPARE) << 32);
    m.change(|state| state.gpr[reg::RAX] = DATA);
    let what = unimplemented(&mut m);
    assert_eq!((what.rip, what.bytes), (at, vec![0xff, 0x18]));
}
