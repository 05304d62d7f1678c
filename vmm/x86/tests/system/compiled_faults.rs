//! What compiled code does when the machine around it interferes: faults in the middle of a block,
//! breakpoints, devices, and another CPU that has the code dropped.

use chaosrun_x86::{CodeCache, Cpu, CpuModel, Exit, Memory};
use iced_x86::code_asm::*;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::harness::layout::*;
use crate::harness::same::fingerprint;
use crate::harness::{Machine, Script, reg, seg};
use crate::modes::{ALL_CUTS, all_equal, check, machines, skip_faulting};

/// More than it takes until something is compiled.
const ROUNDS: u32 = 40;

/// Not canonical.
const NOWHERE: u64 = 0x8000_0000_0000;

#[test]
fn faults_in_the_middle_of_a_block() {
    // In round R15 some of the accesses fault, which the handler reports; they are skipped then.
    let build = || {
        let (mut m, _) = Machine::kernel(|a| {
            a.mov(r15d, ROUNDS)?;
            let mut again = a.create_label();
            a.set_label(&mut again)?;
            a.mov(rcx, r15)?;
            a.and(ecx, 7)?;
            a.mov(rsi, qword_ptr(rcx * 8 + DATA))?;
            a.add(rbx, 7)?;
            a.sub(r8, rbx)?;
            a.adc(rbx, qword_ptr(rsi))?;
            a.xor(r9, rbx)?;
            a.mov(qword_ptr(rsi + 8), rbx)?;
            a.shl(r9, 3)?;
            a.push(qword_ptr(rsi))?;
            a.add(r10, r9)?;
            a.mov(rsp, STACK)?;
            a.movups(xmm0, xmmword_ptr(rsi))?;
            a.movaps(xmmword_ptr(rsi + 16), xmm0)?;
            a.cmp(r10, rbx)?;
            a.mov(rax, r15)?;
            a.xor(edx, edx)?;
            a.mov(edi, ecx)?;
            a.sub(rdi, 3)?;
            a.div(rdi)?;
            a.cmovb(r11, qword_ptr(rsi))?;
            a.lock().cmpxchg(qword_ptr(rsi), rbx)?;
            a.lock().xadd(qword_ptr(rsi + 24), rbx)?;
            a.xchg(qword_ptr(rsi), r10)?;
            a.bt(dword_ptr(rsi), 3)?;
            a.setc(r12b)?;
            a.dec(r15d)?;
            a.jnz(again)?;
            a.hlt()
        });
        // Places that are RAM, across a page's end, unaligned, absent, and no addresses.
        let places = [
            DATA + 0x100,
            FREE + 0xffc,
            NOWHERE,
            0x20_0000,
            DATA + 0x201,
            0x1f_fff8,
            u64::MAX - 3,
            FREE,
        ];
        for (n, place) in (0..).zip(places) {
            m.poke64(DATA + 8 * n, place);
        }
        m
    };
    check("faults", build, skip_faulting, &ALL_CUTS);
}

#[test]
fn branches_to_addresses_that_are_none() {
    // A #GP on the branch itself, which changes nothing; the next round has a good target.
    for way in 0..4 {
        let build = || {
            let (mut m, p) = Machine::kernel(|a| {
                a.mov(r15d, ROUNDS)?;
                let mut again = a.create_label();
                a.set_label(&mut again)?;
                a.mov(rcx, r15)?;
                a.and(ecx, 3)?;
                a.mov(rax, qword_ptr(rcx * 8 + DATA))?;
                a.mov(qword_ptr(DATA + 0x80), rax)?;
                a.add(rbx, rcx)?;
                match way {
                    0 => a.jmp(rax)?,
                    1 => a.call(qword_ptr(DATA + 0x80))?,
                    2 => a.call(rax)?,
                    _ => {
                        a.push(rax)?;
                        a.ret()?;
                    }
                }
                a.sbb(rdx, rbx)?;
                a.mov(rsp, STACK)?;
                a.dec(r15d)?;
                a.jnz(again)?;
                a.hlt()
            });
            let behind = p.at(if way == 3 { 8 } else { 7 });
            for (n, place) in (0..).zip([behind, NOWHERE, behind, u64::MAX >> 1]) {
                m.poke64(DATA + 8 * n, place);
            }
            m
        };
        check("no address", build, skip_faulting, &ALL_CUTS);
    }
}

#[test]
fn sse_that_is_switched_off_and_on() {
    let build = || {
        let (m, _) = Machine::kernel(|a| {
            a.mov(r15d, ROUNDS)?;
            let mut again = a.create_label();
            a.set_label(&mut again)?;
            a.mov(rax, cr0)?;
            a.mov(rbx, r15)?;
            a.and(ebx, 8)?;
            a.and(al, -9)?;
            a.or(rax, rbx)?;
            a.mov(cr0, rax)?;
            a.inc(rsi)?;
            a.movups(xmm1, xmmword_ptr(DATA + 0x20))?;
            a.inc(rsi)?;
            a.pxor(xmm0, xmm1)?;
            a.movdqa(xmm2, xmm0)?;
            a.movups(xmmword_ptr(DATA + 0x40), xmm0)?;
            a.movq(xmm3, rsi)?;
            a.movq(rdi, xmm1)?;
            a.movhps(xmm3, qword_ptr(DATA + 0x20))?;
            a.pslld(xmm3, 2)?;
            a.movd(dword_ptr(DATA + 0x50), xmm3)?;
            a.dec(r15d)?;
            a.jnz(again)?;
            a.hlt()
        });
        m
    };
    // #NM, whose handler's return is moved behind the instruction.
    let skip = |m: &mut Machine| {
        let event = m.reported();
        assert_eq!(event.vector, vector::NM);
        let mut code = [0; 15];
        assert!(m.memory.read(event.rip, &mut code));
        let options = iced_x86::DecoderOptions::NONE;
        let length = iced_x86::Decoder::new(64, &code, options).decode().len();
        m.poke64(event.frame, event.rip + length as u64);
    };
    let m = check("sse", build, skip, &ALL_CUTS);
    assert_eq!(m.gpr(reg::RSI), 2 * u64::from(ROUNDS));
}

#[test]
fn alignment_checks_that_come_and_go() {
    let build = || {
        let (mut m, p) = Machine::user(|a| {
            a.mov(r15d, ROUNDS)?;
            let mut again = a.create_label();
            a.set_label(&mut again)?;
            a.pushfq()?;
            a.xor(dword_ptr(rsp), flag::AC as u32)?;
            a.popfq()?;
            a.mov(rax, qword_ptr(USER_DATA + 1))?;
            a.add(qword_ptr(USER_DATA + 3), rbx)?;
            a.lea(rbx, qword_ptr(rbx + rax + 3))?;
            a.dec(r15d)?;
            a.jnz(again)?;
            a.int(0x80)?;
            a.nop()
        });
        m.open_gate(0x80, 3, 0);
        // The handler of the end.
        let end = HANDLERS + 0x80 * HANDLER_STEP;
        m.poke(end, &[0xf4]);
        m.change(|state| state.cr0 |= control::CR0_AM);
        assert!(p.end() > USER_CODE);
        m
    };
    check("alignment", build, skip_faulting, &ALL_CUTS);
}

#[test]
fn data_breakpoints_that_come_and_go() {
    let build = || {
        let (mut m, _) = Machine::kernel(|a| {
            a.mov(r15d, ROUNDS)?;
            a.mov(eax, DATA as u32)?;
            a.mov(dr0, rax)?;
            let mut again = a.create_label();
            a.set_label(&mut again)?;
            a.mov(rcx, r15)?;
            a.and(ecx, 8)?;
            a.shr(ecx, 2)?;
            a.or(ecx, 0x1_0000)?;
            a.mov(dr7, rcx)?;
            a.call(FREE)?;
            a.inc(rsi)?;
            a.dec(r15d)?;
            a.jnz(again)?;
            a.hlt()
        });
        m.place(FREE, 64, |a| {
            a.mov(rax, qword_ptr(DATA))?;
            a.inc(rbx)?;
            a.mov(qword_ptr(DATA), rbx)?;
            a.push(rbx)?;
            a.pop(rax)?;
            a.ret()
        });
        m
    };
    let m = check("breakpoints", build, skip_faulting, &ALL_CUTS);
    assert_eq!(m.gpr(reg::RSI), u64::from(ROUNDS));
}

#[test]
fn devices_that_write_code_when_they_are_asked() {
    const DEVICE: u64 = 0x6000_0000_0000;
    let build = || {
        let (mut m, _) = Machine::kernel(|a| {
            a.mov(r15d, ROUNDS)?;
            a.mov(rdi, DEVICE)?;
            let mut again = a.create_label();
            a.set_label(&mut again)?;
            a.call(FREE)?;
            a.add(rsi, qword_ptr(rdi))?;
            a.out(0x80, al)?;
            a.mov(eax, 1)?;
            a.add(rbx, rax)?;
            a.mov(dword_ptr(rdi + 4), eax)?;
            a.call(FREE)?;
            a.dec(r15d)?;
            a.jnz(again)?;
            a.hlt()
        });
        m.place(FREE, 64, |a| {
            a.mov(eax, 1)?;
            a.add(rbx, rax)?;
            a.ret()
        });
        m.map(DEVICE, 0xfe00_0000 | page::P | page::W);
        m.bus.stops_at_ports = true;
        m.bus.answer = 0x1_0203;
        m
    };
    // What comes behind the OUT, which is part of its block, and the function that was called before.
    let write = |m: &mut Machine| {
        let round = m.bus.seen.len() as u8;
        let at = m.cpu.state().rip;
        m.poke(at + 1, &[round]);
        m.poke(FREE + 1, &[round ^ 0x55]);
    };
    let m = check("device", build, write, &ALL_CUTS);
    assert_eq!(m.gpr(reg::RSI), 0x1_0203 * u64::from(ROUNDS));
}

/// A CPU that changes its own code so often that the cache is cleared, and one that calls meanwhile.
fn sharing() -> Machine {
    let (mut m, p) = Machine::kernel(|a| {
        // Sixty instructions that are decoded anew every time, because the first of them changes the
        // second one's constant.
        let mut again = a.create_label();
        a.set_label(&mut again)?;
        a.inc(dword_ptr(CODE + 8))?;
        a.mov(ecx, 0)?;
        for n in 0..60 {
            a.add(rax, n)?;
        }
        a.dec(r15d)?;
        a.jnz(again)?;
        a.hlt()
    });
    assert_eq!(p.at(1) + 1, CODE + 8);
    m.change(|state| state.gpr[15] = 8_000);
    m.place(FREE, 64, |a| {
        let mut again = a.create_label();
        let mut function = a.create_label();
        let mut out = a.create_label();
        a.set_label(&mut again)?;
        a.mov(edi, 30)?;
        a.call(function)?;
        a.call(FREE + 0x1000)?;
        a.jmp(again)?;
        a.set_label(&mut function)?;
        a.add(rbx, rdi)?;
        a.dec(edi)?;
        a.jz(out)?;
        a.call(function)?;
        a.inc(rsi)?;
        a.set_label(&mut out)?;
        a.ret()
    });
    m.place(FREE + 0x1000, 64, |a| {
        a.push(rbx)?;
        a.call(FREE + 0x2000)?;
        a.pop(rbx)?;
        a.ret()
    });
    m.place(FREE + 0x2000, 64, |a| a.ret());
    m
}

/// What both are like from time to time.
fn course(mut m: Machine, seed: u64) -> Vec<Vec<u8>> {
    let mut other = Cpu::new(1, CpuModel::default());
    let mut state = m.cpu.state();
    state.gpr[reg::RSP] = STACK0;
    state.rip = FREE;
    other.set_state(&state);
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut bus = Script::default();
    let mut prints = Vec::new();
    loop {
        let budget = 1 + random.next_u64() % 5000;
        let exit = m.run(budget);
        prints.push(fingerprint(&m));
        let budget = 1 + random.next_u64() % 200;
        assert_eq!(
            other.run(&mut m.memory, &mut m.code, &mut bus, budget),
            Exit::Budget
        );
        let mut print = Vec::new();
        other.hash_into(&mut |part| print.extend_from_slice(part));
        prints.push(print);
        if exit == Exit::Halt {
            return prints;
        }
    }
}

#[test]
fn calls_outlast_another_cpu_that_fills_the_cache() {
    for seed in 0..2 {
        let courses = machines(sharing).map(|m| course(m, seed));
        assert!(all_equal(&courses), "seed {seed}");
    }
}

#[test]
fn bases_of_fs_and_gs_and_short_addresses() {
    let build = || {
        let (mut m, _) = Machine::kernel(|a| {
            a.mov(r15d, ROUNDS)?;
            let mut again = a.create_label();
            a.set_label(&mut again)?;
            a.add(rbx, qword_ptr(rsi).fs())?;
            a.add(qword_ptr(r15 * 8).gs(), rbx)?;
            a.mov(eax, dword_ptr(ecx + esi * 4 + 0x10))?;
            a.lea(rdx, qword_ptr(ecx + esi * 4 - 0x10))?;
            a.lea(r8d, qword_ptr(rcx + rsi * 2 + 9))?;
            a.lea(r9w, qword_ptr(rcx + rsi * 8 + 9))?;
            a.add(rdi, rax)?;
            a.dec(r15d)?;
            a.jnz(again)?;
            a.hlt()
        });
        m.change(|state| {
            state.segments[seg::FS].base = DATA + 0x100;
            state.segments[seg::GS].base = DATA + 0x200;
            state.gpr[reg::RCX] = 0xffff_ffff_0000_0000 | DATA;
            state.gpr[reg::RSI] = 8;
            state.gpr[reg::RBX] = 7;
        });
        m
    };
    check("bases", build, skip_faulting, &ALL_CUTS);
}

/// RAM of which one page beyond the first 2 GiB is used, for offsets that do not fit in 32 bits with a sign.
struct Large(*mut libc::c_void, usize);

impl Drop for Large {
    fn drop(&mut self) {
        // SAFETY: the mapping was made with this size, and the `Memory` that uses it is gone.
        unsafe { libc::munmap(self.0, self.1) };
    }
}

#[test]
fn code_beyond_two_gibibytes() {
    const HIGH: u64 = 1 << 30;
    let low = 3u64 << 30;
    let size = (low + HIGH) as usize;
    let run = |mode: u8| {
        // SAFETY: a new mapping at a place of the kernel's choice replaces nothing.
        let start = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                size,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
                -1,
                0,
            )
        };
        assert!(start != libc::MAP_FAILED);
        let _ram = Large(start, size);
        // SAFETY: the mapping lives longer than the memory, and nobody else touches it.
        let mut memory = unsafe { Memory::new(start.cast(), low, HIGH) };
        let mut code = CodeCache::new();
        code.compile_after(mode);
        let (mut m, p) = Machine::kernel(|a| {
            a.mov(r15d, ROUNDS)?;
            let mut again = a.create_label();
            a.set_label(&mut again)?;
            a.mov(eax, 0x9000_0000u32)?;
            a.call(rax)?;
            a.add(rsi, 3)?;
            a.dec(r15d)?;
            a.jnz(again)?;
            a.hlt()
        });
        let mut bytes = vec![0; RAM as usize];
        assert!(m.memory.read(0, &mut bytes));
        assert!(memory.write(0, &bytes));
        // The third and fourth GiB by large pages: one for the code.
        let slot = m.slot(0x9000_0000, 2);
        let mut tables = vec![0; 0x1_0000];
        m.poke64(slot, 0x9000_0000 | page::P | page::W | page::PS);
        assert!(m.memory.read(0, &mut tables));
        assert!(memory.write(0, &tables));
        // Two functions, in two pages, that call and return beyond the limit.
        let far = crate::harness::Program::new(0x9000_0000, 64, |a| {
            a.add(rbx, 1)?;
            a.call(0x9000_1000)?;
            a.add(rbx, 0x100)?;
            a.ret()
        });
        let next = crate::harness::Program::new(0x9000_1000, 64, |a| {
            a.inc(rdi)?;
            a.ret()
        });
        assert!(memory.write(far.base, &far.bytes) && memory.write(next.base, &next.bytes));
        let mut bus = Script::default();
        assert_eq!(
            m.cpu.run(&mut memory, &mut code, &mut bus, 100_000),
            Exit::Halt
        );
        assert_eq!(m.cpu.state().rip, p.end());
        (fingerprint(&m), m.cpu.state())
    };
    let (print, state) = run(0);
    assert_eq!(state.gpr[reg::RBX], 0x101 * u64::from(ROUNDS));
    for mode in [1, 24] {
        let (other, other_state) = run(mode);
        assert_eq!(other_state, state);
        assert!(other == print);
    }
}
