//! A program that mixes everything that could make an execution depend on how it is split: loops,
//! calls, repeated string instructions of odd sizes, faults that handlers repair, changing code,
//! accesses and instructions across pages, system calls, floating point, ports, single-stepping.

use iced_x86::IcedError;
use iced_x86::code_asm::*;

use crate::harness::layout::*;
use crate::harness::{Machine, seg};

/// Where handlers of the workload's own are.
const HANDLERS_AT: u64 = CODE + 0x1000;
const ROUTINES: u64 = CODE + 0x2000;
const ENTRY: u64 = CODE + 0x3000;
/// An instruction that spans this page and the next one.
const SPANNING: u64 = FREE + 0x1_0000 - 3;
/// A page that the workload takes away from itself again and again.
const FICKLE: u64 = FREE + 0x2_0000;
const BUFFER: u64 = FREE + 0x3_0000;

/// A machine about to run the workload, which ends with HLT.
pub fn machine() -> Machine {
    let mut m = Machine::new();
    place_handlers(&mut m);
    place_routines(&mut m);
    let fickle = m.slot(FICKLE, 1);
    m.load(CODE, 64, |a| main_program(a, fickle));
    m.place(USER_CODE, 64, user_program);
    m.open_gate(0x80, 3, 0);
    m.gate(0x80, HANDLERS_AT + 0x100, 3, 0);
    m.gate(vector::PF, HANDLERS_AT, 0, 2);
    m.gate(vector::DB, HANDLERS_AT + 0x200, 0, 3);
    m.gate(vector::DE, HANDLERS_AT + 0x300, 0, 0);
    m.change(|state| {
        state.msrs.star = 0x08 << 32 | 0x20 << 48;
        state.msrs.lstar = ENTRY;
        state.msrs.sfmask = flag::TF | flag::IF;
        state.segments[seg::GS].base = DATA + 0x400;
    });
    m
}

/// The handlers: a page fault makes the page present, INT 80 and #DB count, a divide error skips
/// the division of two bytes.
fn place_handlers(m: &mut Machine) {
    let fickle = m.slot(FICKLE, 1);
    m.place(HANDLERS_AT, 64, |a| {
        a.push(rax)?;
        a.mov(rax, FICKLE | page::P | page::W)?;
        a.mov(qword_ptr(fickle), rax)?;
        a.inc(qword_ptr(DATA))?;
        a.pop(rax)?;
        a.add(rsp, 8)?;
        a.iretq()
    });
    m.place(HANDLERS_AT + 0x100, 64, |a| {
        a.inc(qword_ptr(DATA + 8))?;
        // Every sixteenth one ends the user's turn.
        a.test(qword_ptr(DATA + 8), 15)?;
        a.jz(ROUTINES + 0x400)?;
        a.iretq()
    });
    m.place(HANDLERS_AT + 0x200, 64, |a| {
        a.inc(qword_ptr(DATA + 16))?;
        a.iretq()
    });
    m.place(HANDLERS_AT + 0x300, 64, |a| {
        a.inc(qword_ptr(DATA + 24))?;
        a.add(qword_ptr(rsp), 2)?;
        a.iretq()
    });
}

fn place_routines(m: &mut Machine) {
    // Recursion.
    m.place(ROUTINES, 64, |a| {
        let mut done = a.create_label();
        a.test(edi, edi)?;
        a.jz(done)?;
        a.push(rdi)?;
        a.dec(edi)?;
        a.call(ROUTINES)?;
        a.pop(rdi)?;
        a.add(r12, rdi)?;
        a.set_label(&mut done)?;
        a.ret()
    });
    m.place(SPANNING, 64, |a| {
        a.add(r13d, 0x0102_0304)?;
        a.ret()
    });
    m.place(ENTRY, 64, |a| {
        a.add(r14, rax)?;
        a.sysretq()
    });
    // The end of a user's turn: back to the main program's stack and loop.
    m.place(ROUTINES + 0x400, 64, |a| {
        a.mov(rsp, qword_ptr(DATA + 0x100))?;
        a.ret()
    });
}

fn main_program(a: &mut CodeAssembler, fickle: u64) -> Result<(), IcedError> {
    a.mov(r15d, 12)?;
    a.fninit()?;
    let mut again = a.create_label();
    a.set_label(&mut again)?;
    strings(a)?;
    a.mov(edi, 9)?;
    a.call(ROUTINES)?;
    faults(a, fickle)?;
    changing_code(a)?;
    stepping(a)?;
    arithmetic(a)?;
    user_turn(a)?;
    a.dec(r15d)?;
    a.jnz(again)?;
    a.hlt()
}

/// Sizes that are no multiples of anything, from the loop's counter.
fn strings(a: &mut CodeAssembler) -> Result<(), IcedError> {
    a.mov(edi, (BUFFER + 5) as u32)?;
    a.imul_3(ecx, r15d, 517)?;
    a.mov(eax, r15d)?;
    a.rep().stosb()?;
    a.mov(esi, (BUFFER + 5) as u32)?;
    a.mov(edi, (BUFFER + 0x2003) as u32)?;
    a.imul_3(ecx, r15d, 67)?;
    a.rep().movsq()?;
    a.mov(esi, (BUFFER + 9) as u32)?;
    a.mov(edi, (BUFFER + 0x2003) as u32)?;
    a.mov(ecx, 777)?;
    a.repe().cmpsb()?;
    a.add(r14, rcx)?;
    a.mov(edi, (BUFFER + 0x5fff) as u32)?;
    a.mov(ecx, 333)?;
    a.xor(eax, eax)?;
    a.std()?;
    a.repe().scasb()?;
    a.mov(ecx, 33)?;
    a.rep().stosw()?;
    a.cld()?;
    a.add(r14, rdi)?;
    // Overlapping, one byte apart.
    a.mov(esi, (BUFFER + 0x3000) as u32)?;
    a.mov(edi, (BUFFER + 0x3001) as u32)?;
    a.mov(ecx, 201)?;
    a.rep().movsb()
}

/// Takes a page away and stores across its start, in ordinary and string instructions.
fn faults(a: &mut CodeAssembler, fickle: u64) -> Result<(), IcedError> {
    a.mov(qword_ptr(fickle), 0)?;
    a.invlpg(byte_ptr(FICKLE))?;
    a.add(qword_ptr(FICKLE - 3), r15)?;
    a.mov(qword_ptr(fickle), 0)?;
    a.mov(rax, cr3)?;
    a.mov(cr3, rax)?;
    a.mov(edi, (FICKLE - 130) as u32)?;
    a.mov(ecx, 260)?;
    a.mov(eax, r15d)?;
    a.rep().stosb()?;
    a.xor(ecx, ecx)?;
    a.div(ecx)?;
    a.add(r14, qword_ptr(FICKLE - 3))
}

/// Changes an immediate in another page, in an instruction that spans two, and in this block.
fn changing_code(a: &mut CodeAssembler) -> Result<(), IcedError> {
    a.call(SPANNING)?;
    a.inc(byte_ptr(SPANNING + 3))?;
    a.inc(byte_ptr(SPANNING + 5))?;
    a.call(SPANNING)?;
    let mut patched = a.create_label();
    a.lea(rbx, byte_ptr(patched))?;
    a.add(dword_ptr(rbx + 1), r15d)?;
    a.set_label(&mut patched)?;
    a.mov(eax, 0x100)?;
    a.add(r14, rax)?;
    a.out(0x80, eax)
}

/// Single-steps through a few instructions, a string instruction among them.
fn stepping(a: &mut CodeAssembler) -> Result<(), IcedError> {
    a.pushfq()?;
    a.or(dword_ptr(rsp), 0x100)?;
    a.popfq()?;
    a.mov(edi, (BUFFER + 0x4000) as u32)?;
    a.mov(ecx, 70)?;
    a.rep().stosb()?;
    a.mov(eax, ss)?;
    a.mov(ss, eax)?;
    a.nop()?;
    a.pushfq()?;
    a.and(dword_ptr(rsp), !0x100)?;
    a.popfq()
}

fn arithmetic(a: &mut CodeAssembler) -> Result<(), IcedError> {
    a.mov(ecx, 40)?;
    let mut again = a.create_label();
    a.set_label(&mut again)?;
    a.lea(rax, qword_ptr(r14 + rcx * 4 + 3))?;
    a.mul(rcx)?;
    a.xor(r14, rdx)?;
    a.adc(r14, rax)?;
    a.rol(r14, cl)?;
    a.cvtsi2sd(xmm0, rcx)?;
    a.addsd(xmm1, xmm0)?;
    a.fild(qword_ptr(DATA))?;
    a.fadd_2(st0, st0)?;
    a.fistp(qword_ptr(DATA + 0x40))?;
    a.lock().xadd(qword_ptr(DATA + 0x48), rax)?;
    a.cmp(al, 0x80)?;
    let mut skip = a.create_label();
    a.jb(skip)?;
    a.inc(qword_ptr(DATA + 0x50))?;
    a.set_label(&mut skip)?;
    a.dec(ecx)?;
    a.jnz(again)?;
    a.rdtsc()?;
    a.add(r14, rax)
}

/// Gives the user a turn, which ends with its sixteenth interrupt.
fn user_turn(a: &mut CodeAssembler) -> Result<(), IcedError> {
    let mut go = a.create_label();
    let mut done = a.create_label();
    a.call(go)?;
    a.jmp(done)?;
    a.set_label(&mut go)?;
    a.mov(qword_ptr(DATA + 0x100), rsp)?;
    a.push(i32::from(selector::USER_DATA))?;
    a.push(USER_STACK as i32)?;
    a.push(0x202)?;
    a.push(i32::from(selector::USER_CODE64))?;
    a.push(USER_CODE as i32)?;
    a.iretq()?;
    a.set_label(&mut done)?;
    a.cli()
}

fn user_program(a: &mut CodeAssembler) -> Result<(), IcedError> {
    let mut again = a.create_label();
    a.set_label(&mut again)?;
    a.mov(eax, 3)?;
    a.syscall()?;
    a.inc(qword_ptr(USER_DATA + 0xffd))?;
    a.int(0x80)?;
    a.jmp(again)
}
