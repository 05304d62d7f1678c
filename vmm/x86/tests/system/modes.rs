//! Machines that differ in nothing but when code is compiled, and whether anybody can tell.

use chaosrun_x86::{CodeStore, Exit};
use iced_x86::code_asm::*;
use iced_x86::{Decoder, DecoderOptions, IcedError};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::harness::Machine;
use crate::harness::same::{assert_same, assert_same_cpu};

/// After how many executions code is compiled, and whether the code is shared with the others for which that
/// is so.
const MODES: [(u8, bool); 5] = [(0, false), (1, false), (24, false), (24, true), (2, true)];

/// A machine of each mode. The first never compiles anything.
pub fn machines(build: impl Fn() -> Machine) -> [Machine; MODES.len()] {
    let store = CodeStore::default();
    MODES.map(|(after, shares)| {
        let mut m = build();
        m.code.compile_after(after);
        if shares {
            m.code.share(&store);
        }
        m
    })
}

/// Whether all are equal.
pub fn all_equal<T: PartialEq>(of: &[T]) -> bool {
    of.windows(2).all(|pair| pair[0] == pair[1])
}

/// A loop that is executed `rounds` times, counted in R15, and then the end.
pub fn repeat(
    a: &mut CodeAssembler,
    rounds: u32,
    body: impl FnOnce(&mut CodeAssembler) -> Result<(), IcedError>,
) -> Result<(), IcedError> {
    a.mov(r15d, rounds)?;
    let mut again = a.create_label();
    a.set_label(&mut again)?;
    body(a)?;
    a.dec(r15d)?;
    let mut out = a.create_label();
    a.jz(out)?;
    a.jmp(again)?;
    a.set_label(&mut out)?;
    a.hlt()
}

/// Lets the handler that has just reported return behind the instruction that faulted.
pub fn skip_faulting(m: &mut Machine) {
    let event = m.reported();
    if !matches!(event.vector, 0 | 6 | 12..=14 | 17) {
        return;
    }
    let mut code = [0; 15];
    assert!(m.memory.read(event.rip, &mut code));
    let instruction = Decoder::new(64, &code, DecoderOptions::NONE).decode();
    m.poke64(event.frame, event.rip + instruction.len() as u64);
}

/// Runs machines of all modes side by side with budgets from `next` until they halt, and compares them
/// after every run. `stopped` is called for each of them when it stops. Returns the first.
#[track_caller]
pub fn side_by_side(
    what: &str,
    build: &dyn Fn() -> Machine,
    stopped: &dyn Fn(&mut Machine),
    mut next: impl FnMut() -> u64,
) -> Machine {
    let mut machines = machines(build);
    for _ in 0..1_000_000 {
        let budget = next();
        let exits = machines.each_mut().map(|m| m.run(budget));
        let [first, others @ ..] = &mut machines;
        for (other, exit) in others.iter().zip(&exits[1..]) {
            assert_eq!(*exit, exits[0], "{what}");
            assert_same_cpu(first, other, what);
        }
        match exits[0] {
            Exit::Budget => {}
            Exit::Halt => {
                let [first, others @ ..] = machines;
                others
                    .iter()
                    .for_each(|other| assert_same(&first, other, what));
                return first;
            }
            Exit::Stop | Exit::InterruptWindow => machines.iter_mut().for_each(stopped),
            ref other => panic!("{what}: unexpected exit {other:?}"),
        }
    }
    panic!("{what}: no end");
}

/// Runs machines of all modes side by side, cut in all sorts of ways. They must be the same after every
/// piece, and come to the same end however they are cut. Returns the interpreted one of the whole run.
#[track_caller]
pub fn check(
    what: &str,
    build: impl Fn() -> Machine,
    stopped: impl Fn(&mut Machine),
    budgets: &[u64],
) -> Machine {
    let whole = side_by_side(what, &build, &stopped, || 1 << 40);
    for &budget in budgets {
        let name = format!("{what}, budgets of {budget}");
        let pieces = side_by_side(&name, &build, &stopped, || budget);
        assert_same(&whole, &pieces, &name);
    }
    let mut random = ChaCha8Rng::seed_from_u64(what.len() as u64);
    let name = format!("{what}, random budgets");
    let next = || {
        let most = 2 << (random.next_u64() % 7);
        1 + random.next_u64() % most
    };
    let pieces = side_by_side(&name, &build, &stopped, next);
    assert_same(&whole, &pieces, &name);
    whole
}

/// The budgets that cut a loop of any length everywhere.
pub const ALL_CUTS: [u64; 12] = [1, 2, 3, 4, 5, 6, 7, 11, 13, 17, 29, 64];
