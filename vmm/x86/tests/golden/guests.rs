//! The guests. Their bytes depend on nothing but the number of the program.

use iced_x86::code_asm::*;
use iced_x86::{Code, IcedError, Mnemonic};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::chain::Guest;
use crate::generator::{self, forms, forms_of};
use crate::harness::layout::*;
use crate::harness::{Machine, enter_user, reg};
use crate::modes::repeat;

/// The guests and their names.
pub const GUESTS: &[(&str, Guest)] = &[
    ("approximations", approximations),
    ("integer", integer),
    ("self-modifying", self_modifying),
    ("sse", sse),
    ("strings", strings),
    ("traps", traps),
    ("x87", x87),
];

/// Programs of different guests differ in more than their instructions.
const SEEDS: u64 = 1000;

type Done = Result<(), IcedError>;

/// A random program with these forms on numbers of all kinds.
fn generated(program: u64, forms: &[Code]) -> Machine {
    let mut m = generator::machine(SEEDS + program, forms);
    let mut random = ChaCha8Rng::seed_from_u64(program);
    for line in (DATA..DATA + 0x1000).step_by(16) {
        let bits = random.next_u64();
        let small = (bits >> 40) as f64 / 1024.0 - 8192.0;
        let (low, high) = match bits % 4 {
            // Two doubles, four singles, an extended number, anything.
            0 => (small.to_bits(), (1.0 / small).to_bits()),
            1 => {
                let pair = |a: f32, b: f32| u64::from(a.to_bits()) | u64::from(b.to_bits()) << 32;
                let small = small as f32;
                (pair(small, -small), pair(1.5 * small, 1e-3))
            }
            2 => (bits | 1 << 63, 0x3ff8 + (bits >> 8 & 15)),
            _ => (bits, random.next_u64()),
        };
        m.poke64(line, low);
        m.poke64(line + 8, high);
    }
    m
}

fn is_approximation(code: Code) -> bool {
    use Mnemonic::*;
    matches!(code.mnemonic(), Rcpps | Rcpss | Rsqrtps | Rsqrtss)
}

/// RCPPS, RSQRTPS and their kind, whose results are each design's own.
fn approximations(program: u64) -> Machine {
    use Mnemonic::*;
    let forms = forms_of(|code| {
        is_approximation(code) || matches!(code.mnemonic(), Movups | Addps | Xorps | Shufps)
    });
    generated(program, &forms)
}

fn integer(program: u64) -> Machine {
    generated(program, &forms())
}

fn sse(program: u64) -> Machine {
    let all: Vec<_> = chaosrun_x86::simd_forms().collect();
    generated(
        program,
        &forms_of(|code| all.contains(&code) && !is_approximation(code)),
    )
}

fn x87(program: u64) -> Machine {
    let all: Vec<_> = chaosrun_x86::x87_forms().collect();
    generated(program, &forms_of(|code| all.contains(&code)))
}

/// R13 becomes the next number of a sequence, and RAX its upper half.
fn next_number(a: &mut CodeAssembler) -> Done {
    a.mov(rax, 0x5851_f42d_4c95_7f2du64)?;
    a.imul_2(r13, rax)?;
    a.add(r13, 0x3039)?;
    a.mov(rax, r13)?;
    a.shr(rax, 32)
}

/// A loop in the kernel that begins with a number of its own.
fn kernel(program: u64, rounds: u32, body: impl FnOnce(&mut CodeAssembler) -> Done) -> Machine {
    let (mut m, _) = Machine::kernel(|a| {
        repeat(a, rounds, |a| {
            next_number(a)?;
            body(a)
        })
    });
    m.change(|state| state.gpr[13] = program.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    m
}

/// String instructions of all sizes, repeated and not, in both directions, over data that overlap.
fn strings(program: u64) -> Machine {
    let repeated: [fn(&mut CodeAssembler) -> Done; 10] = [
        |a| a.rep().movsb(),
        |a| a.rep().movsq(),
        |a| a.rep().movsw(),
        |a| a.rep().stosd(),
        |a| a.rep().stosb(),
        |a| a.repne().scasb(),
        |a| a.repe().scasw(),
        |a| a.repe().cmpsb(),
        |a| a.repne().cmpsd(),
        |a| a.rep().lodsw(),
    ];
    let single: [fn(&mut CodeAssembler) -> Done; 5] = [
        |a| a.movsd(),
        |a| a.stosw(),
        |a| a.lodsq(),
        |a| a.scasd(),
        |a| a.cmpsw(),
    ];
    kernel(program, 60, |a| {
        for (number, string) in repeated.into_iter().chain(single).enumerate() {
            next_number(a)?;
            a.mov(ecx, eax)?;
            a.and(ecx, 63)?;
            a.mov(esi, eax)?;
            a.shr(esi, 8)?;
            a.and(esi, 0x3ff)?;
            a.lea(edi, dword_ptr(rsi + rcx * 4 + (DATA + 0x900) as i32))?;
            a.add(esi, (DATA + 0x800) as i32)?;
            match number % 3 {
                0 => a.std()?,
                _ => a.cld()?,
            }
            string(a)?;
            a.add(r12, rcx)?;
            a.xor(r12, rsi)?;
            a.pushfq()?;
            a.pop(r11)?;
            a.add(r12, r11)?;
            a.rol(r12, 5)?;
        }
        a.cld()
    })
}

/// Exceptions of all kinds in the kernel and in user mode, and single steps.
fn traps(program: u64) -> Machine {
    let mut m = kernel(program, 40, |a| {
        let mut nowhere = a.create_label();
        a.xor(ecx, ecx)?;
        a.div(ecx)?;
        a.ud2()?;
        a.int3()?;
        a.mov(rbx, 0x4000_0000u64)?;
        a.add(qword_ptr(rbx + rax), 1)?;
        a.mov(rbx, 0x8000_0000_0000_0000u64)?;
        a.mov(al, byte_ptr(rbx))?;
        a.mov(edx, 0x1003)?;
        a.mov(ds, edx)?;
        a.int(0x80)?;
        a.mov(ecx, 0xbadu32)?;
        a.rdmsr()?;
        // An unmasked x87 exception, reported by the next instruction.
        a.fninit()?;
        a.mov(dword_ptr(DATA), 0x340)?;
        a.fldcw(word_ptr(DATA))?;
        a.fld1()?;
        a.fldz()?;
        a.fdivp(st1, st0)?;
        a.fld1()?;
        a.fnclex()?;
        // And one of SSE.
        a.mov(dword_ptr(DATA), 0)?;
        a.ldmxcsr(dword_ptr(DATA))?;
        a.cvtsi2sd(xmm0, rax)?;
        a.xorps(xmm1, xmm1)?;
        a.divsd(xmm0, xmm1)?;
        a.mov(dword_ptr(DATA), 0x1f80)?;
        a.ldmxcsr(dword_ptr(DATA))?;
        // Step by step.
        a.pushfq()?;
        a.or(dword_ptr(rsp), 0x100)?;
        a.popfq()?;
        a.add(rax, r13)?;
        a.adc(rdx, rax)?;
        a.pushfq()?;
        a.and(dword_ptr(rsp), !0x100)?;
        a.popfq()?;
        a.set_label(&mut nowhere)?;
        a.inc(r12)
    });
    m.open_gate(0x80, 3, 0);
    if program == 2 {
        // A program of user mode, which may do none of this.
        m.load(USER_CODE, 64, |a| {
            let mut again = a.create_label();
            a.set_label(&mut again)?;
            next_number(a)?;
            a.cli()?;
            a.hlt()?;
            a.mov(qword_ptr(CODE), rax)?;
            a.int(0x80)?;
            a.int(0x20)?;
            a.in_(al, dx)?;
            a.push(rax)?;
            a.popfq()?;
            a.jmp(again)
        });
        m.change(|state| {
            enter_user(state, selector::USER_CODE64);
            state.rip = USER_CODE;
            state.gpr[reg::RSP] = USER_STACK;
        });
    }
    m
}

/// Code that changes: in the block that is executed, in another page, at the border of two, copied.
fn self_modifying(program: u64) -> Machine {
    let functions = [0, 1, 2].map(|n| FREE + 0x1000 * n);
    let [own, other, copy] = functions;
    let border = FREE + 0x6000 - 3;
    let forms = FREE + 0x8000;
    let mut m = kernel(program, 60, |a| {
        a.mov(ecx, eax)?;
        a.call(own)?;
        a.mov(dword_ptr(other + 1), eax)?;
        a.call(other)?;
        a.mov(byte_ptr(border + 3), al)?;
        a.call(border)?;
        a.mov(esi, r13d)?;
        a.shr(esi, 20)?;
        a.and(esi, 0x10)?;
        a.add(esi, forms as i32)?;
        a.mov(edi, copy as u32)?;
        a.mov(ecx, 16)?;
        a.rep().movsb()?;
        a.call(copy)
    });
    let add = |a: &mut CodeAssembler| {
        a.mov(eax, 1)?;
        a.add(rbx, rax)?;
        a.ret()
    };
    m.place(other, 64, add);
    m.place(border, 64, add);
    m.place(own, 64, |a| {
        // The store is seven bytes long, and the constant is one byte behind it.
        a.mov(byte_ptr(own + 8), cl)?;
        add(a)
    });
    m.place(forms, 64, |a| {
        a.lea(rbx, qword_ptr(rbx + rbx * 2 + 7))?;
        a.ret()
    });
    m.place(forms + 16, 64, |a| {
        a.xor(rbx, r13)?;
        a.ror(rbx, 9)?;
        a.ret()
    });
    m
}
