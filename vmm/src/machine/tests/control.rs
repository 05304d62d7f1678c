//! Tests of what the world around a machine does to it.

use super::*;

const VECTOR: u32 = 0x40;

/// A vCPU whose timer expires once at 4,004 ns, and which then works on.
fn timed() -> (Machine, Diary) {
    machine(&[&[
        Op::Interrupts(true),
        APIC_ON,
        DIVIDE_BY_ONE,
        Op::Mmio(LVT_TIMER, VECTOR),
        Op::Mmio(TIMER_INITIAL, 100),
        Op::Jump(5),
    ]])
}

/// A vCPU that waits for interrupts, of which line 5 of the I/O APIC gives it vector 0x50.
fn waiting() -> (Machine, Diary) {
    let config = MachineConfig {
        external_input: true,
        ..MachineConfig::new(&[])
    };
    let program = [
        Op::Interrupts(true),
        APIC_ON,
        Op::Mmio(0xfec0_0000, 0x10 + 2 * 5),
        Op::Mmio(0xfec0_0010, 0x50),
        Op::Mmio(LVT_TIMER, VECTOR),
        Op::Halt,
        Op::Jump(5),
    ];
    machine_with(&config, &[&program])
}

/// When interrupts were taken, by the instructions retired, and which.
fn taken(diary: &Diary) -> Vec<(u64, u64)> {
    let diary = diary.lock().unwrap();
    let interrupts = diary.iter().filter(|entry| entry.2 == "interrupt");
    interrupts.map(|entry| (entry.1, entry.3)).collect()
}

#[test]
fn delayed_timer_expires_later_by_the_delay() {
    let (mut machine, diary) = timed();
    machine.delay_timers(7000);
    run(&mut machine, 20_000);
    assert_eq!(taken(&diary), [(4004 + 7000, VECTOR.into())]);
}

#[test]
fn delay_that_ends_lets_the_timer_expire_at_once_if_it_is_due() {
    let (mut machine, diary) = timed();
    machine.delay_timers(7000);
    run(&mut machine, 6000);
    machine.delay_timers(0);
    run(&mut machine, 20_000);
    assert_eq!(taken(&diary), [(6000, VECTOR.into())]);
}

#[test]
fn throttled_machine_executes_less_in_the_same_time() {
    let (mut machine, _) = machine(&[&[Op::Work, Op::Jump(0)]]);
    run(&mut machine, 10 * MICRO);
    machine.set_rate(100);
    run(&mut machine, 20 * MICRO);
    assert_eq!(machine.retired(), 10_000 + 1000);
    machine.set_rate(2000);
    run(&mut machine, 21 * MICRO);
    assert_eq!(machine.retired(), 11_000 + 2000);
}

#[test]
fn paused_machine_executes_nothing_and_its_timer_is_late() {
    let (mut machine, diary) = timed();
    run(&mut machine, 1000);
    machine.skip_to(VirtTime(50_000));
    assert_eq!((machine.now(), machine.retired()), (VirtTime(50_000), 1000));
    run(&mut machine, 51_000);
    assert_eq!(taken(&diary), [(1000, VECTOR.into())]);
    machine.skip_to(VirtTime(10));
    assert_eq!(machine.now(), VirtTime(51_000));
}

#[test]
fn inputs_wake_a_waiting_vcpu() {
    let (mut machine, diary) = waiting();
    assert_eq!(run(&mut machine, MICRO), Stop::Reached);
    assert_eq!(taken(&diary), []);
    machine.input(Input::Irq { line: 5 });
    machine.input(Input::Irq { line: 99 });
    run(&mut machine, 2 * MICRO);
    assert_eq!(met(&diary, "interrupt"), [(0, 0x50)]);
    machine.input(Input::TimerNow { vcpu: 0 });
    machine.input(Input::TimerNow { vcpu: 7 });
    run(&mut machine, 3 * MICRO);
    assert_eq!(met(&diary, "interrupt"), [(0, 0x50), (0, VECTOR.into())]);
    machine.input(Input::Nmi { vcpu: 0 });
    machine.input(Input::Nmi { vcpu: 7 });
    run(&mut machine, 4 * MICRO);
    assert_eq!(met(&diary, "nmi").len(), 1);
}

#[test]
fn masked_timer_gives_no_spurious_interrupt() {
    let (mut machine, diary) = machine(&[&[Op::Interrupts(true), APIC_ON, Op::Jump(2)]]);
    run(&mut machine, MICRO);
    machine.input(Input::TimerNow { vcpu: 0 });
    run(&mut machine, 2 * MICRO);
    assert_eq!(taken(&diary), []);
}

#[test]
fn next_event_is_the_deadline_of_a_machine_that_waits() {
    let (mut busy, _) = timed();
    assert_eq!(busy.next_event(), None);
    run(&mut busy, MICRO);
    assert_eq!(busy.next_event(), None);

    let (mut idle, _) = waiting();
    run(&mut idle, MICRO);
    assert_eq!(idle.next_event(), Some(VirtTime(u64::MAX)));
    idle.input(Input::Irq { line: 5 });
    assert_eq!(idle.next_event(), None);

    let program = [
        Op::Interrupts(true),
        APIC_ON,
        DIVIDE_BY_ONE,
        Op::Mmio(LVT_TIMER, VECTOR),
        Op::Mmio(TIMER_INITIAL, 100),
        Op::Halt,
        Op::Jump(5),
    ];
    let (mut timed, _) = machine(&[&program]);
    run(&mut timed, MICRO);
    assert_eq!(timed.next_event(), Some(VirtTime(4 + 100 * TICK)));
    timed.delay_timers(500);
    assert_eq!(timed.next_event(), Some(VirtTime(504 + 100 * TICK)));
}

#[test]
fn machine_that_is_over_has_no_events_and_ignores_input() {
    let (mut machine, _) = machine(&[&[Op::Fault]]);
    assert!(matches!(run(&mut machine, MICRO), Stop::TripleFault { .. }));
    machine.input(Input::Irq { line: 5 });
    machine.input(Input::Frame {
        nic: 0,
        bytes: vec![0; 60],
    });
    machine.input(Input::Control(b"x".to_vec()));
    assert_eq!(machine.next_event(), Some(VirtTime(u64::MAX)));
    assert!(matches!(run(&mut machine, MILLI), Stop::TripleFault { .. }));
}

#[test]
fn console_output_is_told_line_by_line_with_the_time_of_its_start() {
    let text = "one\ntwo";
    let mut program: Vec<Op> = text
        .bytes()
        .map(|byte| Op::Out(0x3f8, byte.into()))
        .collect();
    program.push(Op::Jump(program.len()));
    let (mut machine, _) = machine(&[&program]);
    run(&mut machine, MICRO);
    let lines = [(0, "one\n"), (4, "two")].map(|(time, line)| Output {
        time: VirtTime(time),
        kind: OutputKind::Event(MachineEvent::Console(line.into())),
    });
    assert_eq!(machine.take_outputs(), lines);
    assert_eq!(machine.take_console(), b"");
}

/// A vCPU that executes an instruction in a microsecond and stays so many milliseconds with
/// interrupts off; then its timer interrupts it every millisecond.
fn deaf_for(millis: u64) -> (Machine, Diary) {
    let mut program = vec![Op::Work; (millis * 1000) as usize];
    program.extend([
        APIC_ON,
        DIVIDE_BY_ONE,
        Op::Mmio(LVT_TIMER, VECTOR | PERIODIC),
        Op::Mmio(TIMER_INITIAL, (MILLI / TICK) as u32),
        Op::Interrupts(true),
    ]);
    program.push(Op::Jump(program.len()));
    machine_with(
        &MachineConfig {
            rate: 1,
            ..MachineConfig::new(&[])
        },
        &[&program],
    )
}

/// What is told of interrupts that are ignored or taken, with the milliseconds.
fn attention(machine: &mut Machine) -> Vec<(u64, OutputKind)> {
    let outputs = machine.take_outputs().into_iter();
    outputs
        .map(|output| (output.time.0 / MILLI, output.kind))
        .collect()
}

const PATIENCE_MS: u64 = PATIENCE_NS / MILLI;

#[test]
fn vcpu_that_ignores_interrupts_is_told_wherever_the_run_is_cut() {
    let seen_with = |cuts: &[u64]| {
        let (mut machine, _) = deaf_for(2 * PATIENCE_MS + 50);
        for cut in cuts {
            run(&mut machine, cut * MILLI);
        }
        run(&mut machine, 3 * PATIENCE_NS);
        attention(&mut machine)
    };
    let whole = seen_with(&[]);
    // A scripted vCPU's place is the number of its operation.
    let rip = 2 * PATIENCE_MS * 1000;
    let ignores = OutputKind::Event(MachineEvent::IgnoresInterrupts { vcpu: 0, rip });
    let takes = OutputKind::Event(MachineEvent::TakesInterrupts { vcpu: 0 });
    let expected = [(2 * PATIENCE_MS, ignores), (2 * PATIENCE_MS + 50, takes)];
    assert_eq!(whole, expected);
    let cuts = [1, 7, PATIENCE_MS, PATIENCE_MS + 2, 2 * PATIENCE_MS + 49];
    assert_eq!(seen_with(&cuts), whole);
}

#[test]
fn vcpu_that_ignores_interrupts_for_less_is_not_told() {
    let (mut machine, diary) = deaf_for(2 * PATIENCE_MS - 50);
    run(&mut machine, 3 * PATIENCE_NS);
    assert!(taken(&diary).len() > 100);
    assert_eq!(attention(&mut machine), []);
}

#[test]
fn standing_still_is_not_ignoring_interrupts() {
    let (mut machine, _) = deaf_for(5 * PATIENCE_MS);
    run(&mut machine, PATIENCE_NS + MILLI);
    machine.skip_to(VirtTime(2 * PATIENCE_NS + MILLI));
    run(&mut machine, 4 * PATIENCE_NS - MILLI);
    assert_eq!(attention(&mut machine), []);
    run(&mut machine, 4 * PATIENCE_NS + MILLI);
    assert_eq!(attention(&mut machine).len(), 1);
}
