//! What every form makes of random states, written down: most forms execute the host's own instruction, and
//! this is what tells that processors of all makes agree in them. A form that fails here on one host
//! only must not be left to the host.

use super::inputs::Random;
use super::native::{Machine, emulate, instruction};
use iced_x86::Code;

/// A line for each form: its name and the digest of what it gives.
const GOLDEN: &str = include_str!("../../../tests/written_down/simd.txt");

/// How many states each form starts from.
const STATES: usize = 256;

/// FNV-1a.
fn digest(hash: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(hash, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
    })
}

const EMPTY: u64 = 0xcbf2_9ce4_8422_2325;

/// A random state; in half of them some exceptions are unmasked.
fn machine(random: &mut Random) -> Machine {
    let unmasked = if random.below(2) == 0 {
        0
    } else {
        random.bits() as u32 & 0x1f80
    };
    Machine {
        memory: random.quads(),
        xmm: [random.quads(), random.quads(), random.quads()],
        mm: [random.quad(), random.quad()],
        gpr: [random.quad(), random.quad(), random.quad()],
        mxcsr: random.masked_mxcsr() & !unmasked,
        ..Machine::default()
    }
}

fn digest_of(code: Code) -> u64 {
    let mut random = Random(digest(EMPTY, format!("{code:?}").as_bytes()));
    let mut hash = EMPTY;
    for _ in 0..STATES {
        let immediate = random.bits() as u8;
        let mut state = machine(&mut random);
        let memory = random.below(2) == 0;
        // Some forms have no memory operand, some no other.
        let instr = instruction(code, immediate, memory)
            .or_else(|| instruction(code, immediate, !memory))
            .expect("every form has an encoding");
        if code == Code::Ldmxcsr_m32 {
            state.memory[0] &= 0xffff;
        }
        let completes = emulate(&instr, &mut state).is_ok();
        hash = digest(hash, &[u8::from(completes)]);
        let quads = [state.memory, state.mm, state.xmm[0], state.xmm[1]].concat();
        for word in quads.into_iter().chain(state.gpr) {
            hash = digest(hash, &word.to_le_bytes());
        }
        hash = digest(hash, &state.flags.to_le_bytes());
        hash = digest(hash, &state.mxcsr.to_le_bytes());
    }
    hash
}

#[test]
fn every_form_gives_what_was_written_down_on_whatever_host() {
    let lines: Vec<String> = crate::simd::forms()
        .map(|code| format!("{code:?} {:016x}", digest_of(code)))
        .collect();
    let expected: Vec<&str> = GOLDEN.lines().collect();
    let differ: Vec<&String> = lines
        .iter()
        .filter(|line| !expected.contains(&line.as_str()))
        .collect();
    assert!(
        differ.is_empty() && lines.len() == expected.len(),
        "{} of {} forms differ:\n{}",
        differ.len(),
        expected.len(),
        lines.join("\n")
    );
}
