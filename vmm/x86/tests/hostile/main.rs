//! Code, tables and registers that mean harm.
//!
//! Random bytes and damaged instructions are executed in every mode, with page tables, descriptor
//! tables, control registers and devices that hold anything at all. Whatever they do, the CPU must
//! not panic, must return when its budget is used up, and must not touch the host's memory outside
//! of guest RAM, which has inaccessible pages around it. A case is a function of its bytes;
//! `HOSTILE_SEED`, `HOSTILE_CASES` and `HOSTILE_CASE` choose other cases.

mod code;
mod machine;
mod setup;
mod values;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};

use chaosrun_x86::{Activity, Exit};

use machine::Machine;
use values::Values;

/// How many cases a test runs.
const CASES: u64 = if cfg!(debug_assertions) {
    4_000
} else {
    12_000
};

/// The seed of a run that nobody chose one for.
const DEFAULT_SEED: u64 = 1;

/// Seconds after which a case that does not return is taken for one that never will.
const PATIENCE: u32 = 240;

/// How many instructions a case that is executed twice may take.
const COMPARED: u64 = 300;

/// The cases that the two tests are executing, for the signal handler.
static CURRENT: [AtomicU64; 2] = [const { AtomicU64::new(0) }; 2];

/// Says which cases were being executed when the process got a signal that ends it.
extern "C" fn on_signal(signal: libc::c_int) {
    let mut text = *b"signal .. in hostile case .......... or, of the comparison, ..........\n";
    let mut put = |at: usize, width: usize, mut value: u64| {
        for digit in (at..at + width).rev() {
            text[digit] = b'0' + (value % 10) as u8;
            value /= 10;
        }
    };
    put(7, 2, signal as u64);
    put(26, 10, CURRENT[0].load(Ordering::Relaxed));
    put(60, 10, CURRENT[1].load(Ordering::Relaxed));
    // SAFETY: writing a local buffer and leaving the process are allowed in a signal handler.
    unsafe {
        libc::write(2, text.as_ptr().cast(), text.len());
        libc::_exit(101);
    }
}

fn watch() {
    for signal in [
        libc::SIGSEGV,
        libc::SIGBUS,
        libc::SIGFPE,
        libc::SIGILL,
        libc::SIGALRM,
    ] {
        // SAFETY: the handler only does what a signal handler may do.
        unsafe { libc::signal(signal, on_signal as *const () as libc::sighandler_t) };
    }
    // SAFETY: an alarm has no precondition.
    unsafe { libc::alarm(PATIENCE) };
}

/// Executes one case: the first byte chooses the mode, the next eight everything else about the
/// machine, and the rest is code.
fn fuzz_one(data: &[u8]) {
    let mut values = Values::of(data);
    let mut machine = Machine::new(&mut values, data);
    // Everything is compiled at once, nothing is, or what is executed more than once.
    machine.compile_after(data.len() as u8 % 3);
    for _ in 0..1 + values.below(8) {
        let budget = values.pick(&[0, 1, 2, 3, 17, 64, 300, 2000]);
        if !machine.run_checked(budget) || !disturb(&mut machine, &mut values) {
            return;
        }
    }
}

/// Does what a machine does between two runs. Returns whether there may be another one.
fn disturb(machine: &mut Machine, values: &mut Values) -> bool {
    machine.reload();
    let cpu = &mut machine.cpu;
    if cpu.activity() == Activity::Shutdown || values.below(30) == 0 {
        cpu.init();
        cpu.sipi(values.bits() as u8 & 0x3f);
    }
    if values.below(4) == 0 {
        cpu.request_interrupt_window(values.below(2) == 0);
    }
    let vector = values.bits() as u8;
    if cpu.interruptible() && values.below(3) == 0 {
        return machine.inject(Some(vector));
    }
    if cpu.nmi_acceptable() && values.below(8) == 0 {
        return machine.inject(None);
    }
    true
}

/// Executes one case as a whole, interpreted and compiled, and then in pieces, which must come to the
/// same.
fn compare_one(data: &[u8]) {
    let mut whole = Machine::new(&mut Values::of(data), data);
    whole.compile_after(0);
    let whole_exit = whole.run_for(COMPARED, |left| left);
    let mut compiled = Machine::new(&mut Values::of(data), data);
    compiled.compile_after(1);
    let compiled_exit = compiled.run_for(COMPARED, |left| left);
    assert_eq!(whole_exit, compiled_exit, "compiled, the end differs");
    whole.assert_same(&compiled);
    let mut values = Values::of(data);
    let mut pieces = Machine::new(&mut values, data);
    pieces.compile_after(1 + data.len() as u8 % 2);
    let pieces_exit = pieces.run_for(COMPARED, |left| left.min(1 + values.below(5)));
    assert_eq!(whole_exit, pieces_exit, "the end differs");
    whole.assert_same(&pieces);
}

fn setting(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(
        value
            .parse()
            .unwrap_or_else(|_| panic!("{name} is not a number")),
    )
}

/// Runs `body` on every case and reports those that panic.
fn for_all_cases(test: usize, body: fn(&[u8])) {
    watch();
    let seed = setting("HOSTILE_SEED").unwrap_or(DEFAULT_SEED);
    let count = setting("HOSTILE_CASES").unwrap_or(CASES);
    let range = setting("HOSTILE_CASE").map_or(0..count, |case| case..case + 1);
    let mut failed = Vec::new();
    for index in range {
        CURRENT[test].store(index, Ordering::Relaxed);
        let data = code::case(seed, test as u64, index);
        if catch_unwind(AssertUnwindSafe(|| body(&data))).is_err() {
            eprintln!("case {index} failed");
            failed.push(index);
        }
    }
    assert!(
        failed.is_empty(),
        "{} cases failed; repeat one with HOSTILE_SEED={seed} HOSTILE_CASE=N: {:?}",
        failed.len(),
        &failed[..failed.len().min(20)]
    );
}

#[test]
fn hostile_code_neither_panics_nor_hangs_nor_leaves_its_memory() {
    for_all_cases(0, fuzz_one);
}

#[test]
fn hostile_code_does_the_same_however_it_is_cut() {
    for_all_cases(1, compare_one);
}

#[test]
fn memory_around_the_ram_is_inaccessible() {
    let data = code::case(DEFAULT_SEED, 3, 0);
    let machine = Machine::new(&mut Values::of(&data), &data);
    assert!(machine.guards_are_closed());
}

#[test]
fn exceptions_without_end_use_up_the_budget() {
    // The program is an invalid instruction, and so is the handler of every vector.
    let mut machine = Machine::plain_real_mode(&[0x0f, 0x0b]);
    let exit = machine.run_for(1000, |left| left);
    assert_eq!(exit, Exit::Budget);
}

#[test]
fn a_repeated_store_over_itself_ends_the_same_however_it_is_cut() {
    // mov di, 0f80h; mov cx, 200h; mov al, 40h; rep stosb: it becomes a row of INC AX.
    let code = [0xbf, 0x80, 0x0f, 0xb9, 0, 2, 0xb0, 0x40, 0xf3, 0xaa];
    let run = |piece: u64| {
        let mut machine = Machine::plain_real_mode(&code);
        assert_eq!(machine.run_for(100, |left| left.min(piece)), Exit::Budget);
        machine
    };
    let whole = run(100);
    for piece in 1..10 {
        whole.assert_same(&run(piece));
    }
}

#[test]
fn a_breakpoint_on_its_own_handler_ends_the_same_however_it_is_cut() {
    // The program, which is the handler of all vectors too, is NOP with a breakpoint.
    let run = |piece: u64| {
        let mut machine = Machine::plain_real_mode(&[0x90, 0x90]);
        let mut state = machine.cpu.state();
        state.dr[0] = 0x1000;
        state.dr[7] = 0x401;
        machine.cpu.set_state(&state);
        assert_eq!(machine.run_for(50, |left| left.min(piece)), Exit::Budget);
        machine
    };
    let whole = run(50);
    for piece in 1..10 {
        whole.assert_same(&run(piece));
    }
}
