//! Faults during the delivery of faults (Intel SDM vol. 3, 6.15, table 6-5), and the error codes of
//! a broken IDT.

use chaosrun_x86::{Activity, Exit};
use iced_x86::code_asm::*;

use crate::harness::Machine;
use crate::harness::layout::*;

const NOT_PRESENT: u64 = !(1 << 47);

/// The error code that names an IDT entry, with the bit for external events.
fn idt(vector: u8, external: bool) -> Option<u32> {
    Some(u32::from(vector) * 8 + 2 + u32::from(external))
}

#[test]
fn contributory_fault_during_a_contributory_one_is_a_double_fault() {
    let (mut m, p) = Machine::kernel(|a| {
        a.xor(ecx, ecx)?;
        a.div(ecx)
    });
    m.change_gate(vector::DE, |gate| gate & NOT_PRESENT);
    let e = m.event();
    assert_eq!(e.what(), (vector::DF, Some(0), p.at(1)));
}

#[test]
fn page_fault_during_a_page_fault_is_a_double_fault_with_the_second_cr2() {
    let (mut m, p) = Machine::kernel(|a| {
        a.mov(rsp, FREE)?;
        a.mov(al, byte_ptr(0x5000_0000u64))
    });
    m.remap(FREE - 4096, |_| 0);
    m.open_gate(vector::DF, 0, 1);
    let e = m.event();
    assert_eq!(e.what(), (vector::DF, Some(0), p.at(1)));
    assert_eq!(e.cr2, FREE - 8);
}

#[test]
fn contributory_fault_during_a_page_fault_is_a_double_fault() {
    let (mut m, p) = Machine::kernel(|a| a.mov(al, byte_ptr(0x5000_0000u64)));
    m.change_gate(vector::PF, |gate| gate & NOT_PRESENT);
    assert_eq!(m.event().what(), (vector::DF, Some(0), p.at(0)));
}

#[test]
fn page_fault_during_a_contributory_fault_is_handled_on_its_own() {
    let (mut m, p) = Machine::kernel(|a| {
        a.mov(rsp, FREE)?;
        a.xor(ecx, ecx)?;
        a.div(ecx)
    });
    m.remap(FREE - 4096, |_| 0);
    m.open_gate(vector::PF, 0, 1);
    let e = m.event();
    assert_eq!(e.what(), (vector::PF, Some(2), p.at(2)));
    assert_eq!(e.cr2, FREE - 8);
}

#[test]
fn fault_during_a_benign_one_is_handled_on_its_own_and_is_external() {
    let (mut m, p) = Machine::kernel(|a| a.ud2());
    m.change_gate(vector::UD, |gate| gate & NOT_PRESENT);
    assert_eq!(
        m.event().what(),
        (vector::NP, idt(vector::UD, true), p.at(0))
    );
}

#[test]
fn fault_during_a_double_fault_shuts_down() {
    let (mut m, _) = Machine::kernel(|a| {
        a.xor(ecx, ecx)?;
        a.div(ecx)
    });
    m.change_gate(vector::DE, |gate| gate & NOT_PRESENT);
    m.change_gate(vector::DF, |gate| gate & NOT_PRESENT);
    assert_eq!(m.run(100), Exit::TripleFault);
    assert_eq!(m.cpu.activity(), Activity::Shutdown);
    assert_eq!(m.run(100), Exit::Halt);
}

#[test]
fn software_interrupt_faults_name_the_gate_without_the_external_bit() {
    let (mut m, p) = Machine::kernel(|a| a.int(0x80));
    m.change_gate(0x80, |gate| gate & NOT_PRESENT);
    assert_eq!(m.event().what(), (vector::NP, idt(0x80, false), p.at(0)));

    let (mut m, p) = Machine::kernel(|a| a.int(0x80));
    m.change(|state| state.idtr.limit = 0x80 * 16 + 14);
    assert_eq!(m.event().what(), (vector::GP, idt(0x80, false), p.at(0)));

    // A call gate is nothing for the IDT.
    let (mut m, p) = Machine::kernel(|a| a.int(0x80));
    m.change_gate(0x80, |gate| gate & !(0xf << 40) | 0xc << 40);
    assert_eq!(m.event().what(), (vector::GP, idt(0x80, false), p.at(0)));
}

#[test]
fn software_interrupts_check_the_gates_privilege_level_and_exceptions_do_not() {
    let (mut m, p) = Machine::user(|a| a.int(0x80));
    assert_eq!(m.event().what(), (vector::GP, idt(0x80, false), p.at(0)));
    let (mut m, p) = Machine::user(|a| a.int(0x80));
    m.open_gate(0x80, 3, 0);
    assert_eq!(m.event().what(), (0x80, None, p.end()));
    let (mut m, p) = Machine::user(|a| a.int3());
    assert_eq!(
        m.event().what(),
        (vector::GP, idt(vector::BP, false), p.at(0))
    );
    let (mut m, p) = Machine::user(|a| a.ud2());
    assert_eq!(m.event().what(), (vector::UD, None, p.at(0)));
    let (mut m, p) = Machine::user(|a| a.int1());
    assert_eq!(m.event().what(), (vector::DB, None, p.end()));
}

#[test]
fn gates_need_a_present_64_bit_code_segment_of_inner_privilege() {
    let cases = [
        (0, vector::GP, 1),
        (descriptor::DATA, vector::GP, u32::from(selector::SPARE) + 1),
        (
            descriptor::CODE32,
            vector::GP,
            u32::from(selector::SPARE) + 1,
        ),
        (
            descriptor::USER_CODE64,
            vector::GP,
            u32::from(selector::SPARE) + 1,
        ),
        (
            descriptor::CODE64 & !descriptor::PRESENT,
            vector::NP,
            u32::from(selector::SPARE) + 1,
        ),
    ];
    for (descriptor, vector, error) in cases {
        let (mut m, p) = Machine::kernel(|a| a.ud2());
        m.describe(selector::SPARE, descriptor);
        let selector = if descriptor == 0 { 0 } else { selector::SPARE };
        m.change_gate(vector::UD, |gate| {
            gate & !(0xffff << 16) | u64::from(selector) << 16
        });
        assert_eq!(
            m.event().what(),
            (vector, Some(error), p.at(0)),
            "{descriptor:#x}"
        );
    }
}

#[test]
fn gate_to_a_non_canonical_handler_raises_gp() {
    let (mut m, p) = Machine::kernel(|a| a.int(0x80));
    m.poke64(IDT + 0x80 * 16 + 8, 0x9234);
    assert_eq!(m.event().what(), (vector::GP, Some(0), p.at(0)));
    let (mut m, p) = Machine::kernel(|a| a.ud2());
    m.poke64(IDT + u64::from(vector::UD) * 16 + 8, 0x9234);
    assert_eq!(m.event().what(), (vector::GP, Some(1), p.at(0)));
}

#[test]
fn task_segment_too_small_for_the_stack_raises_ts() {
    let (mut m, p) = Machine::user(|a| a.ud2());
    m.change(|state| state.tr.limit = 10);
    // The handler of #TS needs a stack of its own too, which it does not get.
    m.open_gate(vector::DF, 0, 0);
    assert_eq!(m.run(100), Exit::TripleFault);

    let (mut m, p2) = Machine::kernel(|a| a.int(0x80));
    m.change(|state| state.tr.limit = 0x1c + 8 * 3 + 6);
    m.open_gate(0x80, 0, 3);
    assert_eq!(
        m.event().what(),
        (vector::TS, Some(u32::from(selector::TSS)), p2.at(0))
    );

    let (mut m, p3) = Machine::kernel(|a| a.ud2());
    m.change(|state| state.tr.limit = 0x1c + 8 * 3 + 6);
    m.open_gate(vector::UD, 0, 3);
    assert_eq!(
        m.event().what(),
        (vector::TS, Some(u32::from(selector::TSS) + 1), p3.at(0))
    );
    let _ = p;
}

#[test]
fn non_canonical_stack_of_a_handler_raises_ss_with_the_external_bit() {
    let stack = 0x8000_0000_1000u64;
    let (mut m, p) = Machine::kernel(|a| a.ud2());
    m.poke64(TSS + 0x24, stack);
    m.open_gate(vector::UD, 0, 1);
    assert_eq!(m.event().what(), (vector::SS, Some(1), p.at(0)));
    let (mut m, p) = Machine::kernel(|a| a.int(0x80));
    m.poke64(TSS + 0x24, stack);
    m.open_gate(0x80, 0, 1);
    assert_eq!(m.event().what(), (vector::SS, Some(0), p.at(0)));
}
