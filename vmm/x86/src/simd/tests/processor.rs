//! Every form against the real processor, from random states.

use super::inputs::Random;
use super::native::{Machine, Native, emulate, instruction};
use crate::make::{self, Departure, Make, Met};
use crate::simd::float::{Addpd, Addps, Mulpd, Mulps};
use crate::simd::host::apply;
use crate::simd::shuffles::{doubles, from_doubles};
use iced_x86::{Code, Instruction, Mnemonic, OpKind};

/// A random state with all exceptions masked.
fn machine(random: &mut Random) -> Machine {
    let mut m = Machine {
        memory: random.quads(),
        xmm: [random.quads(), random.quads(), random.quads()],
        mm: [random.quad(), random.quad()],
        gpr: [random.quad(), random.quad(), random.quad()],
        mxcsr: random.masked_mxcsr(),
        ..Machine::default()
    };
    if random.below(2) == 0 {
        // Lengths and shift counts near their limits.
        m.gpr = [
            random.below(40) as u64,
            random.below(40) as u64,
            random.below(40) as u64,
        ];
        m.gpr[0] = (m.gpr[0] as i64 - 20) as u64;
        m.gpr[1] = (m.gpr[1] as i64 - 20) as u64;
    }
    if random.below(4) == 0 {
        m.xmm[2] = [random.below(130) as u64, random.quad()];
        m.mm[1] = random.below(130) as u64;
        m.memory = m.xmm[2];
    }
    if random.below(8) == 0 {
        m.xmm[2] = m.xmm[1];
        m.memory = m.xmm[1];
    }
    m
}

/// Puts into `ours` what an AMD processor has for a DPPS or DPPD: the lanes are added in ascending
/// order. True if that makes a difference.
fn depart(instr: &Instruction, before: &Machine, ours: &mut Machine) -> bool {
    let wide = match instr.mnemonic() {
        Mnemonic::Dpps => false,
        Mnemonic::Dppd => true,
        _ => return false,
    };
    let imm = instr.immediate8();
    let selected = |bits: u8, value: [u64; 2]| {
        if wide {
            return std::array::from_fn(|i| if bits >> i & 1 != 0 { value[i] } else { 0 });
        }
        let value = doubles(value);
        from_doubles(std::array::from_fn(|i| {
            if bits >> i & 1 != 0 { value[i] } else { 0 }
        }))
    };
    let source = if instr.op1_kind() == OpKind::Memory {
        before.memory
    } else {
        before.xmm[2]
    };
    let (dst, src) = (
        selected(imm >> 4, before.xmm[1]),
        selected(imm >> 4, source),
    );
    // The flags are those of the same additions.
    let mut mxcsr = before.mxcsr;
    let masked = "everything is masked";
    let sum = if wide {
        let p = apply::<Mulpd>(dst, src, &mut mxcsr).expect(masked);
        apply::<Addpd>([p[0]; 2], [p[1]; 2], &mut mxcsr).expect(masked)
    } else {
        let p = doubles(apply::<Mulps>(dst, src, &mut mxcsr).expect(masked));
        let (even, odd) = ([p[0], p[2], 0, 0], [p[1], p[3], 0, 0]);
        let pairs = apply::<Addps>(from_doubles(even), from_doubles(odd), &mut mxcsr);
        let pairs = doubles(pairs.expect(masked));
        let (low, high) = ([pairs[0]; 4], [pairs[1]; 4]);
        let sum = apply::<Addps>(from_doubles(low), from_doubles(high), &mut mxcsr);
        sum.expect(masked)
    };
    let theirs = selected(imm, sum);
    let differs = ours.xmm[1] != theirs;
    ours.xmm[1] = theirs;
    differs
}

/// Compares one form on `count` random states; the number of states.
fn compare(
    native: &mut Native,
    random: &mut Random,
    code: Code,
    memory: bool,
    count: usize,
    met: &mut Met,
) -> usize {
    let immediates = if has_immediate(code) { 256 } else { 1 };
    for imm in 0..immediates {
        let Some(instr) = instruction(code, imm as u8, memory) else {
            return 0;
        };
        native.assemble(instr);
        for _ in 0..count {
            let before = if code == Code::Ldmxcsr_m32 {
                for_ldmxcsr(random)
            } else {
                machine(random)
            };
            let (mut real, mut ours) = (before, before);
            native.run(&mut real);
            assert_eq!(
                emulate(&instr, &mut ours),
                Ok(()),
                "{instr} ({code:?}) from {before:x?}"
            );
            if make::host() == Make::Amd && depart(&instr, &before, &mut ours) {
                met.note(Departure::DotProduct);
            }
            assert_eq!(
                ours, real,
                "{instr} ({code:?}, memory {memory}): ours, then real, from {before:x?}"
            );
        }
    }
    immediates * count
}

/// A state whose memory holds an MXCSR that can be loaded.
fn for_ldmxcsr(random: &mut Random) -> Machine {
    let mut m = machine(random);
    m.memory[0] = m.memory[0] & !0xffff_ffff | u64::from(random.masked_mxcsr());
    m
}

fn has_immediate(code: Code) -> bool {
    let info = code.op_code();
    (0..info.op_count()).any(|i| info.op_kind(i) == iced_x86::OpCodeOperandKind::imm8)
}

/// The forms whose results the architecture leaves to the implementation.
fn approximate(code: Code) -> bool {
    matches!(
        code.mnemonic(),
        Mnemonic::Rcpps | Mnemonic::Rcpss | Mnemonic::Rsqrtps | Mnemonic::Rsqrtss
    )
}

#[test]
fn every_form_gives_the_result_of_the_real_processor() {
    make::announce();
    let mut native = Native::new();
    let mut met = Met::default();
    let mut random = Random(2);
    for code in crate::simd::forms().filter(|&code| !approximate(code)) {
        let count = if has_immediate(code) { 12 } else { 1500 };
        let compared = compare(&mut native, &mut random, code, false, count, &mut met)
            + compare(&mut native, &mut random, code, true, count, &mut met);
        assert!(compared > 0, "{code:?} was not compared");
    }
    println!(
        "where this host's processor is expected to depart from Intel's:\n{}",
        met.text()
    );
}
