//! Code that changes while it is executed (Intel SDM vol. 3, 11.6): a store takes effect on the
//! next instruction.

use chaosrun_x86::{Activity, Cpu, CpuModel, Exit};
use iced_x86::code_asm::*;

use crate::harness::layout::*;
use crate::harness::{Machine, reg};

#[test]
fn store_into_the_same_block_changes_the_next_instruction() {
    // The immediate of the instruction right behind the store.
    let (mut m, p) = Machine::kernel(|a| {
        a.mov(byte_ptr(CODE + 8 + 1), 7)?;
        a.mov(eax, 1)?;
        a.hlt()
    });
    assert_eq!(p.at(1), CODE + 8);
    m.halt();
    assert_eq!(m.gpr(reg::RAX), 7);
}

#[test]
fn loop_that_counts_in_its_own_immediate_sees_every_value() {
    let (mut m, p) = Machine::kernel(|a| {
        a.mov(ecx, 50)?;
        let mut again = a.create_label();
        a.set_label(&mut again)?;
        a.mov(eax, 0)?;
        a.add(ebx, eax)?;
        a.inc(dword_ptr(CODE + 6))?;
        a.dec(ecx)?;
        a.jnz(again)?;
        a.hlt()
    });
    assert_eq!(p.at(1) + 1, CODE + 6);
    m.halt();
    assert_eq!(m.gpr(reg::RBX), (0..50).sum::<u64>());
}

#[test]
fn store_into_another_block_of_the_page_takes_effect() {
    let (mut m, _) = Machine::kernel(|a| {
        a.call(CODE + 0x800)?;
        a.mov(byte_ptr(CODE + 0x801), 9)?;
        a.call(CODE + 0x800)?;
        a.hlt()
    });
    m.place(CODE + 0x800, 64, |a| {
        a.mov(eax, 1)?;
        a.add(ebx, eax)?;
        a.ret()
    });
    m.halt();
    assert_eq!(m.gpr(reg::RBX), 10);
}

#[test]
fn store_into_another_page_takes_effect_through_another_mapping_too() {
    let alias = 0x6000_0000_0000u64;
    for target in [FREE + 1, alias + 1] {
        let (mut m, _) = Machine::kernel(|a| {
            a.mov(esi, FREE as u32)?;
            a.call(rsi)?;
            a.mov(byte_ptr(rdi), 9)?;
            a.call(rsi)?;
            a.hlt()
        });
        m.place(FREE, 64, |a| {
            a.mov(eax, 1)?;
            a.add(ebx, eax)?;
            a.ret()
        });
        m.map(alias, FREE | page::P | page::W);
        m.change(|state| state.gpr[reg::RDI] = target);
        m.halt();
        assert_eq!(m.gpr(reg::RBX), 10, "{target:#x}");
    }
}

#[test]
fn string_stores_change_code() {
    let (mut m, _) = Machine::kernel(|a| {
        a.mov(esi, (FREE + 0x100) as u32)?;
        a.call(FREE)?;
        a.mov(edi, (FREE - 0x40) as u32)?;
        a.mov(ecx, 0x100)?;
        a.mov(eax, 0x90)?;
        a.rep().stosb()?;
        a.mov(edi, FREE as u32)?;
        a.mov(ecx, 16)?;
        a.rep().movsb()?;
        a.call(FREE)?;
        a.hlt()
    });
    m.place(FREE, 64, |a| {
        a.inc(ebx)?;
        a.ret()
    });
    m.place(FREE + 0x100, 64, |a| {
        a.add(ebx, 0x100)?;
        a.ret()
    });
    m.halt();
    assert_eq!(m.gpr(reg::RBX), 0x101);
}

#[test]
fn write_by_the_host_changes_code() {
    let (mut m, _) = Machine::kernel(|a| {
        a.mov(eax, 1)?;
        a.hlt()
    });
    m.halt();
    m.poke(CODE + 1, &[5]);
    m.change(|state| {
        state.rip = CODE;
        state.activity = chaosrun_x86::Activity::Running;
    });
    m.halt();
    assert_eq!(m.gpr(reg::RAX), 5);
}

#[test]
fn either_half_of_an_instruction_across_pages_can_change() {
    let at = FREE + 4096 - 3;
    for (patched, value) in [(at + 1, 0x1234_56ff), (at + 4, 0xff34_5678)] {
        let (mut m, _) = Machine::kernel(|a| {
            a.call(at)?;
            a.mov(ebx, eax)?;
            a.mov(byte_ptr(patched), -1)?;
            a.call(at)?;
            a.hlt()
        });
        m.place(at, 64, |a| {
            a.mov(eax, 0x1234_5678)?;
            a.ret()
        });
        m.halt();
        assert_eq!(
            (m.gpr(reg::RBX), m.gpr(reg::RAX)),
            (0x1234_5678, value),
            "{patched:#x}"
        );
    }
}

#[test]
fn instruction_across_pages_follows_a_new_mapping_of_its_second_page() {
    let at = FREE + 4096 - 3;
    let (mut m, _) = Machine::kernel(|a| {
        a.call(at)?;
        a.mov(ebx, eax)?;
        a.int(0x80)?;
        a.invlpg(byte_ptr(FREE + 4096))?;
        a.call(at)?;
        a.hlt()
    });
    m.place(at, 64, |a| {
        a.mov(eax, 0x1234_5678)?;
        a.ret()
    });
    m.event();
    // Another page with another end of the instruction, and the same RET behind it.
    m.poke(FREE + 0x2000, &[0x99, 0x99, 0xc3]);
    m.map(FREE + 4096, (FREE + 0x2000) | page::P | page::W);
    m.halt();
    assert_eq!(
        (m.gpr(reg::RBX), m.gpr(reg::RAX)),
        (0x1234_5678, 0x9999_5678)
    );
}

#[test]
fn data_in_a_page_of_code_can_be_written_and_read() {
    let (mut m, _) = Machine::kernel(|a| {
        a.mov(ecx, 100)?;
        let mut again = a.create_label();
        a.set_label(&mut again)?;
        a.add(dword_ptr(CODE + 0x700), 3)?;
        a.dec(ecx)?;
        a.jnz(again)?;
        a.hlt()
    });
    m.halt();
    assert_eq!(m.peek32(CODE + 0x700), 300);
}

#[test]
fn other_cpu_sees_changed_code_even_while_it_loops_there() {
    let (mut m, _) = Machine::kernel(|a| {
        a.mov(byte_ptr(FREE + 1), 1)?;
        a.hlt()
    });
    // MOV EAX, 0; TEST EAX, EAX; JZ back; HLT.
    m.place(FREE, 64, |a| {
        let mut again = a.create_label();
        a.set_label(&mut again)?;
        a.mov(eax, 0)?;
        a.test(eax, eax)?;
        a.jz(again)?;
        a.hlt()
    });
    let mut other = Cpu::new(1, CpuModel::default());
    let mut state = m.cpu.state();
    state.rip = FREE;
    other.set_state(&state);
    assert_eq!(
        other.run(&mut m.memory, &mut m.code, &mut m.bus, 10_000),
        Exit::Budget
    );
    m.halt();
    assert_eq!(
        other.run(&mut m.memory, &mut m.code, &mut m.bus, 10),
        Exit::Halt
    );
    assert_eq!(other.state().gpr[reg::RAX], 1);
}

/// A machine that calls `mov eax, value; ret` so often that it is compiled, and halts. Again from the start
/// if it goes on.
fn calls(value: u32) -> Machine {
    let (mut m, _) = Machine::kernel(|a| {
        let (mut start, mut again) = (a.create_label(), a.create_label());
        a.set_label(&mut start)?;
        a.mov(ecx, 100)?;
        a.set_label(&mut again)?;
        a.call(FREE)?;
        a.dec(ecx)?;
        a.jnz(again)?;
        a.hlt()?;
        a.jmp(start)
    });
    m.place(FREE, 64, |a| {
        a.mov(eax, value)?;
        a.ret()
    });
    m
}

fn go_on(m: &mut Machine) {
    m.change(|state| state.activity = Activity::Running);
    m.halt();
}

#[test]
fn memory_that_is_put_back_behind_its_back_is_decoded_anew() {
    let mut m = calls(1);
    m.halt();
    assert_eq!(m.gpr(reg::RAX), 1);
    let (_, ram, size) = m.memory.host_ranges().next().unwrap();
    assert!(FREE + 5 < size);
    // SAFETY: the address is in the mapping, and no CPU runs.
    unsafe { ram.add(FREE as usize + 1).cast::<u32>().write_unaligned(2) };
    m.memory.forget_code();
    go_on(&mut m);
    assert_eq!(m.gpr(reg::RAX), 2);
}

#[test]
fn a_code_cache_has_the_code_of_the_memory_that_it_is_used_with() {
    let mut machines = [calls(1), calls(2)];
    for round in 0..4 {
        for (number, m) in machines.iter_mut().enumerate() {
            go_on(m);
            assert_eq!(m.gpr(reg::RAX), number as u64 + 1, "round {round}");
        }
        let [a, b] = &mut machines;
        std::mem::swap(&mut a.code, &mut b.code);
    }
}
