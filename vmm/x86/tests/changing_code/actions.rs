//! What the main program of a guest does again and again, in an order that its data decide.

use iced_x86::IcedError;
use iced_x86::code_asm::*;

use crate::code::Writer;
use crate::harness::Machine;
use crate::harness::layout::{CODE, PML4, USER_CODE, flag, page, selector, vector};
use crate::harness::program::Program;
use crate::layout::*;

type Done = Result<(), IcedError>;

/// Puts the main program and all actions into memory.
pub fn install(g: &mut Writer, m: &mut Machine) {
    m.place(CODE, 64, |a| {
        let mut again = a.create_label();
        a.set_label(&mut again)?;
        a.mov(r11, 0x5851_f42d_4c95_7f2du64)?;
        a.imul_2(r13, r11)?;
        a.add(r13, 0x3039)?;
        a.mov(rax, r13)?;
        a.shr(rax, 40)?;
        a.and(eax, ACTION_COUNT as i32 - 1)?;
        a.call(qword_ptr(rax * 8 + ACTION_TABLE))?;
        a.jmp(again)
    });
    m.poke(USER_CODE, &[0xcd, BACK]);
    m.gate(BACK, BACK_HANDLER, 3, 0);
    m.place(BACK_HANDLER, 64, |a| {
        a.mov(rsp, qword_ptr(r14 + SAVED as i32))?;
        a.mov(eax, u32::from(selector::DATA))?;
        a.mov(ss, eax)?;
        a.mov(ds, eax)?;
        a.sti()?;
        a.ret()
    });
    m.gate(vector::DB, STEP_HANDLER, 0, 0);
    m.place(STEP_HANDLER, 64, |a| {
        a.inc(qword_ptr(STEPS))?;
        a.iretq()
    });
    for number in 0..ACTION_COUNT {
        let at = ACTIONS + number * ACTION;
        let program = loop {
            let compatible = COMPATIBLE + number * 0x80;
            let program = Program::new(at, 64, |a| action(g, a, m, compatible));
            if program.bytes.len() as u64 <= ACTION {
                break program;
            }
        };
        m.poke(at, &program.bytes);
        m.poke64(ACTION_TABLE + 8 * number, at);
    }
}

fn action(g: &mut Writer, a: &mut CodeAssembler, m: &mut Machine, compatible: u64) -> Done {
    match g.below(27) {
        0..=6 => call(g, a)?,
        7..=10 => patch(g, a)?,
        11 => toggle(g, a)?,
        12 => remap(g, a)?,
        13 => switch_space(a)?,
        14 => in_compatibility_mode(g, a, m, compatible)?,
        15 => on_a_stack_in_code(g, a)?,
        16 => repeatedly(g, a, |_, a| a.call(BESIDE_TABLE))?,
        17..=19 => {
            let target = g.page() + SLOTS[LAST].0;
            a.mov(rbp, target)?;
            repeatedly(g, a, |_, a| {
                a.mov(rax, target)?;
                a.call(rax)
            })?;
        }
        20..=22 => to_starts_of_pages(g, a)?,
        23 | 24 => as_user(g, a)?,
        25 => step_by_step(g, a)?,
        _ => return other_return(g, a),
    }
    a.ret()
}

/// What `body` emits, several times, counted on the stack.
fn repeatedly(
    g: &mut Writer,
    a: &mut CodeAssembler,
    body: impl FnOnce(&mut Writer, &mut CodeAssembler) -> Done,
) -> Done {
    let mut again = a.create_label();
    let most = [3, 8, 30][g.below(3) as usize];
    a.push(1 + g.below(most) as i32)?;
    a.set_label(&mut again)?;
    body(g, a)?;
    a.dec(dword_ptr(rsp))?;
    a.jnz(again)?;
    a.pop(rcx)
}

fn call(g: &mut Writer, a: &mut CodeAssembler) -> Done {
    let level = g.below(SLOTS.len() as u64) as usize;
    let page = g.page();
    repeatedly(g, a, |g, a| {
        if page < ALIASES && g.below(2) == 0 {
            return a.call(page + SLOTS[level].0);
        }
        a.mov(rax, page + SLOTS[level].0)?;
        a.call(rax)
    })
}

/// Puts another form of a function into a page, in one of several ways.
fn patch(g: &mut Writer, a: &mut CodeAssembler) -> Done {
    let level = g.below(SLOTS.len() as u64) as usize;
    let from = form(level, g.below(FORMS));
    let to = g.page() + SLOTS[level].0;
    let size = SLOTS[level].1;
    a.mov(rsi, from)?;
    a.mov(rdi, to)?;
    match g.below(4) {
        0 => {
            a.mov(ecx, size as u32)?;
            a.rep().movsb()
        }
        1 => {
            a.mov(ecx, size as u32 / 8)?;
            a.rep().movsq()
        }
        2 => {
            let mut again = a.create_label();
            a.mov(ecx, size as u32 / 8)?;
            a.set_label(&mut again)?;
            a.mov(rax, qword_ptr(rsi + rcx * 8 - 8))?;
            a.mov(qword_ptr(rdi + rcx * 8 - 8), rax)?;
            a.dec(ecx)?;
            a.jnz(again)
        }
        // Only what differs.
        _ => {
            let (mut again, mut same) = (a.create_label(), a.create_label());
            a.mov(ecx, size as u32 / 4)?;
            a.set_label(&mut again)?;
            a.mov(eax, dword_ptr(rsi + rcx * 4 - 4))?;
            a.cmp(dword_ptr(rdi + rcx * 4 - 4), eax)?;
            a.je(same)?;
            a.mov(dword_ptr(rdi + rcx * 4 - 4), eax)?;
            a.set_label(&mut same)?;
            a.dec(ecx)?;
            a.jnz(again)
        }
    }
}

/// Changes a page and makes it what it was, with calls in between or without.
fn toggle(g: &mut Writer, a: &mut CodeAssembler) -> Done {
    let page = PAGES + g.below(COUNT) * 0x1000;
    let at = DATA_IN_PAGE + 0x60 + g.below(0x20);
    let (callee, calls) = (page + SLOTS[PLAIN].0, g.below(3));
    a.xor(byte_ptr(page + at), 1)?;
    for _ in 0..calls {
        a.call(callee)?;
    }
    a.xor(byte_ptr(page + at), 1)
}

/// Maps another page somewhere in the regions, and tells the CPU or not.
fn remap(g: &mut Writer, a: &mut CodeAssembler) -> Done {
    let table = TABLES[g.below(2) as usize];
    a.mov(rax, r13)?;
    a.shr(rax, 20)?;
    a.mov(ecx, eax)?;
    // The page within the region, and the region.
    a.and(eax, 15)?;
    a.shr(ecx, 8)?;
    a.mov(edx, ecx)?;
    a.and(ecx, 3)?;
    a.shl(ecx, 6)?;
    a.add(eax, ecx)?;
    // The page that is mapped.
    a.and(edx, (COUNT as i32 - 1) << 4)?;
    a.shl(edx, 8)?;
    a.add(edx, (PAGES | page::P | page::W | page::U) as i32)?;
    a.mov(qword_ptr(rax * 8 + table), rdx)?;
    a.mov(rcx, ALIASES)?;
    a.shl(rax, 12)?;
    a.add(rax, rcx)?;
    match g.below(3) {
        0 => Ok(()),
        1 => a.invlpg(ptr(rax)),
        _ => {
            a.mov(rax, cr3)?;
            a.mov(cr3, rax)
        }
    }
}

fn switch_space(a: &mut CodeAssembler) -> Done {
    a.mov(rax, cr3)?;
    a.xor(rax, (PML4 ^ SECOND_ROOT) as i32)?;
    a.mov(cr3, rax)
}

/// Calls functions in compatibility mode.
fn in_compatibility_mode(
    g: &mut Writer,
    a: &mut CodeAssembler,
    m: &mut Machine,
    compatible: u64,
) -> Done {
    let back = compatible + 0x70;
    let program = Program::new(compatible, 32, |a| {
        for _ in 0..1 + g.below(4) {
            a.call(PAGES + g.below(COUNT) * 0x1000 + SLOTS[PLAIN].0)?;
        }
        let [b0, b1, b2, b3] = (back as u32).to_le_bytes();
        a.db(&[0xea, b0, b1, b2, b3, selector::CODE64 as u8, 0])
    });
    assert!(program.end() <= back);
    m.poke(compatible, &program.bytes);
    // Back in 64-bit mode: RET.
    m.poke(back, &[0xc3]);
    a.push(i32::from(selector::CODE32))?;
    a.push(compatible as i32)?;
    // RETFQ.
    a.db(&[0x48, 0xcb])
}

/// Calls a function as a user, which comes back by an interrupt.
fn as_user(g: &mut Writer, a: &mut CodeAssembler) -> Done {
    let target = g.page() + SLOTS[PLAIN].0;
    a.mov(qword_ptr(r14 + SAVED as i32), rsp)?;
    a.mov(rdi, qword_ptr(r14 + USERS as i32))?;
    a.mov(eax, USER_CODE as u32)?;
    a.mov(qword_ptr(rdi), rax)?;
    a.push(i32::from(selector::USER_DATA))?;
    a.push(rdi)?;
    a.push(0x202)?;
    a.push(i32::from(selector::USER_CODE64))?;
    a.mov(rax, target)?;
    a.push(rax)?;
    a.iretq()
}

/// Calls a function with a trap behind each instruction.
fn step_by_step(g: &mut Writer, a: &mut CodeAssembler) -> Done {
    let level = FIRST + g.below((SLOTS.len() - FIRST) as u64) as usize;
    let callee = g.page() + SLOTS[level].0;
    a.pushfq()?;
    a.or(dword_ptr(rsp), flag::TF as i32)?;
    a.popfq()?;
    a.mov(rax, callee)?;
    a.call(rax)?;
    a.pushfq()?;
    a.and(dword_ptr(rsp), !(flag::TF as i32))?;
    a.popfq()
}

/// Calls a function on a stack that is in a page of code.
fn on_a_stack_in_code(g: &mut Writer, a: &mut CodeAssembler) -> Done {
    let page = g.page();
    let callee = g.page() + SLOTS[PLAIN].0;
    a.mov(qword_ptr(r14 + 0x400), rsp)?;
    a.mov(rsp, page + DATA_IN_PAGE + 0x40)?;
    a.mov(rax, callee)?;
    a.call(rax)?;
    a.call(callee & 0xfff | PAGES)?;
    a.mov(rsp, qword_ptr(r14 + 0x400))
}

/// Returns to the start of a page without having been called from the one in front of it.
fn to_starts_of_pages(g: &mut Writer, a: &mut CodeAssembler) -> Done {
    let target = g.page();
    repeatedly(g, a, |_, a| {
        let mut behind = a.create_label();
        a.lea(rax, ptr(behind))?;
        a.push(rax)?;
        a.mov(rax, target)?;
        a.push(rax)?;
        a.ret()?;
        a.set_label(&mut behind)?;
        a.nop()
    })
}

/// Calls functions that come back to behind another call than their own.
fn other_return(g: &mut Writer, a: &mut CodeAssembler) -> Done {
    let callee = g.page() + SLOTS[PLAIN].0;
    let (mut start, mut stub, mut behind) = (a.create_label(), a.create_label(), a.create_label());
    a.jmp(start)?;
    a.set_label(&mut stub)?;
    a.lea(rax, ptr(behind))?;
    a.mov(qword_ptr(rsp), rax)?;
    a.mov(rax, callee)?;
    a.jmp(rax)?;
    a.set_label(&mut start)?;
    a.mov(rax, callee)?;
    a.call(rax)?;
    a.call(stub)?;
    a.inc(qword_ptr(r14 + 0x380))?;
    a.set_label(&mut behind)?;
    a.ret()
}
