//! Tests of the run loop, the bus and the interrupt wiring with scripted vCPUs.

mod bare;
mod control;
mod devices;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod kvm;
mod script;

use std::io::Write;
use std::sync::{Arc, Mutex};

use chaosrun_x86::Activity;

use super::boot::Booted;
use super::*;
use crate::dlog;
use crate::ram::GuestRam;
use crate::tape::Tape;
use crate::time::VirtTime;
use script::{Diary, Op, Scripted};

const MICRO: u64 = 1_000;
const MILLI: u64 = 1_000_000;

/// Registers of the local APIC's page.
const SPURIOUS: u64 = 0xfee0_00f0;
const ICR_LOW: u64 = 0xfee0_0300;
const ICR_HIGH: u64 = 0xfee0_0310;
const LVT_TIMER: u64 = 0xfee0_0320;
const TIMER_INITIAL: u64 = 0xfee0_0380;
const TIMER_DIVIDE: u64 = 0xfee0_03e0;
const APIC_ON: Op = Op::Mmio(SPURIOUS, 0x1ff);
const DIVIDE_BY_ONE: Op = Op::Mmio(TIMER_DIVIDE, 0xb);
const PERIODIC: u32 = 1 << 17;

/// Nanoseconds of one tick of the local APIC's timer at the default crystal of 25 MHz.
const TICK: u64 = 40;

fn machine_with(config: &MachineConfig<'_>, programs: &[&[Op]]) -> (Machine, Diary) {
    let (engine, diary) = Scripted::new(programs);
    let config = MachineConfig {
        vcpus: programs.len() as u32,
        ..config.clone()
    };
    let booted = Booted {
        entry: 0,
        kernel: 0..0,
        initrd: None,
    };
    let ram = GuestRam::new(4 << 20).unwrap();
    (
        Machine::assemble(&config, Box::new(engine), ram, booted),
        diary,
    )
}

fn machine(programs: &[&[Op]]) -> (Machine, Diary) {
    machine_with(&MachineConfig::new(&[]), programs)
}

fn run(machine: &mut Machine, until: u64) -> Stop {
    machine.run_until(VirtTime(until)).unwrap()
}

/// What the diary tells of one kind, as (vCPU, value).
fn met(diary: &Diary, kind: &str) -> Vec<(u32, u64)> {
    let diary = diary.lock().unwrap();
    diary
        .iter()
        .filter(|entry| entry.2 == kind)
        .map(|entry| (entry.0, entry.3))
        .collect()
}

#[test]
fn endless_loop_with_interrupts_off_ends_at_the_given_time() {
    let (mut machine, _) = machine(&[&[Op::Work, Op::Jump(0)]]);
    assert_eq!(run(&mut machine, MILLI), Stop::Reached);
    assert_eq!((machine.now(), machine.retired()), (VirtTime(MILLI), MILLI));
}

#[test]
fn time_stamp_counter_counts_the_instructions_before_the_read() {
    let (mut machine, diary) = machine(&[&[Op::Tsc, Op::Work, Op::Tsc, Op::Jump(3)]]);
    run(&mut machine, MICRO);
    assert_eq!(met(&diary, "tsc"), [(0, 0), (0, 6)]);
}

#[test]
fn timer_preempts_a_loop_at_the_exact_instruction() {
    let program = [
        Op::Interrupts(true),
        APIC_ON,
        DIVIDE_BY_ONE,
        Op::Mmio(LVT_TIMER, 0x40),
        Op::Mmio(TIMER_INITIAL, 100),
        Op::Jump(5),
    ];
    let (mut machine, diary) = machine(&[&program]);
    run(&mut machine, MILLI);
    // The initial count is written at 4 ns and lasts 100 ticks.
    assert_eq!(
        diary.lock().unwrap()[..],
        [(0, 4 + 100 * TICK, "interrupt", 0x40)]
    );
}

#[test]
fn sleeping_guest_skips_the_time_until_its_timer() {
    let program = [
        Op::Interrupts(true),
        APIC_ON,
        DIVIDE_BY_ONE,
        Op::Mmio(LVT_TIMER, 0x40 | PERIODIC),
        Op::Mmio(TIMER_INITIAL, 25_000),
        Op::Halt,
        Op::Jump(5),
    ];
    let (mut machine, diary) = machine(&[&program]);
    assert_eq!(run(&mut machine, 60_000 * MILLI + MICRO), Stop::Reached);
    assert_eq!(met(&diary, "interrupt").len(), 60_000);
    assert!(machine.retired() < 60_000 * 4);
}

#[test]
fn interrupt_waits_until_the_guest_enables_interrupts() {
    let mut program = vec![
        APIC_ON,
        DIVIDE_BY_ONE,
        Op::Mmio(LVT_TIMER, 0x40),
        Op::Mmio(TIMER_INITIAL, 1),
    ];
    program.extend([Op::Work; 1000]);
    program.extend([Op::Interrupts(true), Op::Work, Op::Jump(1005)]);
    let (mut machine, diary) = machine(&[&program]);
    run(&mut machine, MILLI);
    assert_eq!(diary.lock().unwrap()[..], [(0, 1005, "interrupt", 0x40)]);
}

/// Programs whose first vCPU starts the second, which then counts in RAM beside it.
fn counting_pair() -> [Vec<Op>; 2] {
    let start = vec![
        APIC_ON,
        Op::Mmio(ICR_HIGH, 1 << 24),
        Op::Mmio(ICR_LOW, 0x4500),
        Op::Mmio(ICR_LOW, 0x4609),
        Op::Add(0x1000),
        Op::Jump(4),
    ];
    [start, vec![Op::Add(0x2000), Op::Tsc, Op::Jump(0)]]
}

fn counting_machine(seed: u64, interleaving: Interleaving) -> (Machine, Diary) {
    let programs = counting_pair();
    let config = MachineConfig {
        tape: Tape::new(seed),
        interleaving,
        ..MachineConfig::new(&[])
    };
    machine_with(&config, &[&programs[0], &programs[1]])
}

#[test]
fn init_and_startup_ipis_start_the_second_vcpu() {
    let (mut machine, diary) = counting_machine(0, Interleaving::RoundRobin { quantum: 100 });
    run(&mut machine, 100 * MICRO);
    assert_eq!(
        (met(&diary, "init"), met(&diary, "sipi")),
        (vec![(1, 0)], vec![(1, 9)])
    );
    // Slices of 100 instructions alternate once both run.
    let state = |vcpu| machine.engine.retired(vcpu);
    assert!(
        state(0).abs_diff(state(1)) <= 104,
        "{} {}",
        state(0),
        state(1)
    );
    assert_eq!(machine.retired(), state(0) + state(1));
}

#[test]
fn seeds_decide_the_interleaving_and_nothing_else_does() {
    let random = Interleaving::Random { min: 1, max: 64 };
    let chain = |seed| {
        let (mut machine, diary) = counting_machine(seed, random);
        run(&mut machine, 50 * MICRO);
        (
            machine.state_hash().unwrap().chain,
            diary.lock().unwrap().clone(),
        )
    };
    assert_eq!(chain(1), chain(1));
    assert_ne!(chain(1).0, chain(2).0);
    assert_ne!(chain(1).1, chain(2).1);
}

#[test]
fn running_in_many_steps_equals_running_in_one() {
    let programs = {
        let mut programs = counting_pair();
        // A periodic timer and a halt make all kinds of stops fall between the steps.
        programs[1] = vec![
            Op::Interrupts(true),
            APIC_ON,
            DIVIDE_BY_ONE,
            Op::Mmio(LVT_TIMER, 0x55 | PERIODIC),
            Op::Mmio(TIMER_INITIAL, 33),
            Op::Tsc,
            Op::Halt,
            Op::Jump(5),
        ];
        programs
    };
    let run_in = |steps: &[u64]| {
        let config = MachineConfig {
            rate: 777,
            interleaving: Interleaving::Random { min: 1, max: 90 },
            ..MachineConfig::new(&[])
        };
        let (mut machine, diary) = machine_with(&config, &[&programs[0], &programs[1]]);
        for step in steps {
            run(&mut machine, *step);
        }
        (machine.state_hash().unwrap(), diary.lock().unwrap().clone())
    };
    let whole = run_in(&[200 * MICRO]);
    let every_37: Vec<u64> = (1..)
        .map(|n| n * 37)
        .take_while(|t| *t < 200 * MICRO)
        .collect();
    let parts = run_in(&[&every_37[..], &[200 * MICRO]].concat());
    assert!(whole.1.len() > 100);
    assert_eq!(whole.0.differences(&parts.0), Vec::<&str>::new());
    assert_eq!(whole, parts);
}

#[test]
fn idle_time_reached_in_steps_equals_one_jump() {
    let program = [
        Op::Interrupts(true),
        APIC_ON,
        DIVIDE_BY_ONE,
        Op::Mmio(LVT_TIMER, 0x40 | PERIODIC),
        Op::Mmio(TIMER_INITIAL, 997),
        Op::Halt,
        Op::Tsc,
        Op::Jump(5),
    ];
    let run_in = |step: u64| {
        let config = MachineConfig {
            rate: 1300,
            ..MachineConfig::new(&[])
        };
        let (mut machine, diary) = machine_with(&config, &[&program]);
        let mut until = 0;
        while until < MILLI {
            until = (until + step).min(MILLI);
            run(&mut machine, until);
        }
        (machine.state_hash().unwrap(), diary.lock().unwrap().clone())
    };
    assert_eq!(run_in(MILLI), run_in(333));
}

#[test]
fn ipi_wakes_a_halted_vcpu_at_once() {
    let starter = [
        APIC_ON,
        Op::Mmio(ICR_HIGH, 1 << 24),
        Op::Mmio(ICR_LOW, 0x4500),
        Op::Mmio(ICR_LOW, 0x4609),
        // Wait until the other one sleeps, then send it vector 0x77.
        Op::Halt,
    ];
    let other = [
        Op::Interrupts(true),
        APIC_ON,
        Op::Halt,
        Op::Tsc,
        Op::Jump(4),
    ];
    let mut program = starter[..4].to_vec();
    program.extend([Op::Work; 500]);
    program.extend([Op::Mmio(ICR_LOW, 0x4077), Op::Work, Op::Jump(505)]);
    let config = MachineConfig {
        interleaving: Interleaving::RoundRobin { quantum: 50 },
        ..MachineConfig::new(&[])
    };
    let (mut machine, diary) = machine_with(&config, &[&program, &other]);
    run(&mut machine, 10 * MICRO);
    assert_eq!(met(&diary, "interrupt"), [(1, 0x77)]);
    // It ran 3 instructions before it slept and its handler takes one, so it was woken within one
    // slice of the sender's 505th instruction.
    let tsc = met(&diary, "tsc")[0].1 / 3;
    assert!((508..=508 + 60).contains(&tsc), "woken at {tsc} ns");
}

#[test]
fn halted_with_interrupts_off_is_reported_for_ever() {
    let (mut machine, _) = machine(&[&[Op::Work, Op::Halt]]);
    let stop = run(&mut machine, MILLI);
    let vcpus = vec![VcpuAt {
        vcpu: 0,
        activity: Activity::Halted,
        rip: 2,
        interrupts: false,
    }];
    assert_eq!(stop, Stop::HaltedForever { vcpus });
    assert_eq!(machine.now(), VirtTime(2));
    assert_eq!(run(&mut machine, 2 * MILLI), stop);
}

#[test]
fn waiting_for_input_from_outside_is_not_the_end() {
    let program = [Op::Interrupts(true), Op::Halt];
    let (mut alone, _) = machine(&[&program]);
    assert!(matches!(run(&mut alone, MILLI), Stop::HaltedForever { .. }));
    let config = MachineConfig {
        external_input: true,
        ..MachineConfig::new(&[])
    };
    let (mut connected, _) = machine_with(&config, &[&program]);
    assert_eq!(run(&mut connected, MILLI), Stop::Reached);
    assert_eq!(connected.now(), VirtTime(MILLI));
}

#[test]
fn serial_output_reaches_the_console_in_order() {
    let program: Vec<Op> = b"hello\n"
        .iter()
        .map(|byte| Op::Out(0x3f8, (*byte).into()))
        .collect();
    let (mut machine, _) = machine(&[&[&program[..], &[Op::Jump(6)]].concat()]);
    run(&mut machine, MICRO);
    assert_eq!(machine.take_console(), b"hello\n");
    assert!(machine.take_console().is_empty());
}

#[test]
fn sleep_register_powers_off_and_reset_register_resets() {
    let (mut off, _) = machine(&[&[Op::Out(0x600, 5 << 2 | 1 << 5), Op::Jump(1)]]);
    assert_eq!(run(&mut off, MILLI), Stop::PowerOff);
    assert_eq!(off.retired(), 1);
    let (mut reset, _) = machine(&[&[Op::Out(0x602, 1), Op::Jump(1)]]);
    assert_eq!(run(&mut reset, MILLI), Stop::Reset);
}

#[test]
fn triple_fault_is_told_with_its_place() {
    let (mut machine, _) = machine(&[&[Op::Work, Op::Fault]]);
    assert_eq!(
        run(&mut machine, MILLI),
        Stop::TripleFault {
            vcpu: 0,
            rip: 2,
            cr2: 0
        }
    );
}

#[test]
fn unclaimed_addresses_read_as_ones_and_are_counted() {
    let program = [
        Op::MmioRead(0xd000_0000),
        Op::Mmio(0xe000_0000, 1),
        Op::Out(0x1234, 1),
        Op::MmioRead(u64::MAX - 3),
        Op::Jump(4),
    ];
    let (mut machine, diary) = machine(&[&program]);
    run(&mut machine, MICRO);
    assert_eq!(met(&diary, "mmio"), [(0, 0xffff_ffff), (0, 0xffff_ffff)]);
    assert_eq!(machine.unclaimed(), 4);
}

#[test]
fn state_hash_names_what_differs() {
    let run_with = |value| {
        let (mut machine, _) = machine(&[&[Op::Store(0x3000, value), Op::Jump(1)]]);
        run(&mut machine, MICRO);
        machine.state_hash().unwrap()
    };
    assert_eq!(run_with(1), run_with(1));
    assert_eq!(run_with(1).differences(&run_with(2)), ["ram"]);
}

#[test]
fn hashes_taken_on_the_way_chain_and_do_not_disturb() {
    let programs = counting_pair();
    let run_hashing = |every: u64| {
        let (mut machine, _) = machine(&[&programs[0], &programs[1]]);
        let mut chains = Vec::new();
        for time in (every..=60 * MICRO).step_by(every as usize) {
            run(&mut machine, time);
            chains.push(machine.state_hash().unwrap());
        }
        chains
    };
    let (often, seldom) = (run_hashing(MICRO), run_hashing(20 * MICRO));
    let last = |hashes: &[StateHash]| hashes.last().unwrap().clone();
    assert_eq!(last(&often).components, last(&seldom).components);
    assert_ne!(last(&often).chain, last(&seldom).chain);
    assert_eq!(run_hashing(MICRO), often);
}

/// A writer whose bytes stay readable.
#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn log_of(seed: u64) -> Vec<u8> {
    let (mut machine, _) = counting_machine(seed, Interleaving::Random { min: 1, max: 64 });
    let out = Shared::default();
    machine.start_log(Box::new(out.clone()), "test").unwrap();
    run(&mut machine, 20 * MICRO);
    machine.state_hash().unwrap();
    machine.finish_log().unwrap();
    std::mem::take(&mut *out.0.lock().unwrap())
}

#[test]
fn logs_of_equal_runs_are_equal_and_of_other_seeds_part_at_a_slice() {
    let (one, same, other) = (log_of(1), log_of(1), log_of(2));
    assert_eq!(one, same);
    let open = |log: &[u8]| dlog::Reader::new(std::io::Cursor::new(log.to_vec())).unwrap();
    let found = dlog::diff(open(&one), open(&other), dlog::Ignore::default())
        .unwrap()
        .unwrap();
    assert_eq!(found.left.unwrap().event.kind(), "slice");
    let stats = dlog::Stats::of(open(&one)).unwrap();
    for kind in [
        "mmio",
        "init",
        "startup",
        "slice",
        "pages",
        "registers",
        "hash",
    ] {
        assert!(stats.kinds[kind] > 0, "{kind}");
    }
}

#[test]
fn a_log_that_can_not_be_written_does_not_change_the_run() {
    struct Full;
    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::Error::other("full"))
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let (mut machine, _) = machine(&[&[Op::Jump(0)]]);
    assert!(machine.start_log(Box::new(Full), "test").is_err());
    assert_eq!(run(&mut machine, MICRO), Stop::Reached);
}

#[test]
fn impossible_numbers_of_vcpus_are_refused() {
    for vcpus in [0, 9] {
        let config = MachineConfig {
            vcpus,
            ..MachineConfig::new(&[])
        };
        assert!(matches!(
            Machine::new(&config),
            Err(MachineError::Vcpus { .. })
        ));
    }
}
