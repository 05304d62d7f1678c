//! Machines that no fault disturbs, and that end by themselves or go on without listening: a few bytes of
//! machine code in the place of a kernel, and what the run says of them.

use std::sync::Arc;

use chaosrun::artifact::node_image::NodeImage;
use chaosrun::outcome::Verdict;
use chaosrun::outcome::event::{EventKind, NodeState};
use chaosrun::run::{End, Outcome};

use crate::elf::{executable, out};
use crate::pair::{compiled, run_on};

/// A microsecond is ten instructions, so that loops cost little.
const SCENARIO: &str = r#"
scenario "ends" schema=1 {
    kernel "tiny"
    node "n1" { memory "8MiB"; speed 10 }
    ready after="0s"
    properties { no-hang within="2s" }
    run duration="5s" seed=1
}"#;

const CLI: u8 = 0xfa;
const STI: u8 = 0xfb;
const HLT: u8 = 0xf4;
/// `jmp .`
const FOREVER: [u8; 2] = [0xeb, 0xfe];

/// Runs `code`, which is entered with interrupts off and no interrupt table.
fn run_code(code: &[u8]) -> Outcome {
    run_in(SCENARIO, code)
}

fn run_in(scenario: &str, code: &[u8]) -> Outcome {
    let compiled = compiled(scenario);
    let image = NodeImage {
        node: "n1".to_owned(),
        kernel: executable(code).into(),
        kernel_hash: String::new(),
        initrd: Arc::from([]),
        initrd_hash: String::new(),
        identity: None,
        cmdline: String::new(),
        disks: Vec::new(),
    };
    run_on(&compiled, &[image])
}

/// The verdict on a built-in property, and why.
fn verdict<'a>(outcome: &'a Outcome, property: &str) -> (Verdict, &'a str) {
    let found = outcome.judgements.iter().find(|j| j.name == property);
    let judgement = found.expect("it is judged always");
    (judgement.verdict, &judgement.reason)
}

/// The states of the node in the order of time.
fn states(outcome: &Outcome) -> Vec<NodeState> {
    let events = outcome.events.iter();
    events
        .filter_map(|event| match event.kind {
            EventKind::Node { state, .. } => Some(state),
            _ => None,
        })
        .collect()
}

/// Prints a text on the serial port.
fn print(text: &str) -> Vec<u8> {
    text.bytes().flat_map(|byte| out(0x3f8, byte)).collect()
}

/// Resets the machine as ACPI does.
fn reset() -> Vec<u8> {
    [out(0x602, 1), FOREVER.to_vec()].concat()
}

#[test]
fn a_processor_that_goes_round_with_interrupts_off_is_a_hang() {
    let outcome = run_code(&[&[CLI][..], &FOREVER].concat());
    let (verdict, reason) = verdict(&outcome, "no-hang");
    assert_eq!(verdict, Verdict::Fail, "{reason}");
    assert!(
        reason.contains("n1") && reason.contains("interrupts off"),
        "{reason}"
    );
    assert!(reason.contains("0x100001"), "{reason}");
}

#[test]
fn a_processor_that_goes_round_with_interrupts_on_is_none() {
    let outcome = run_code(&[&[STI][..], &FOREVER].concat());
    let (verdict, reason) = verdict(&outcome, "no-hang");
    assert_eq!(verdict, Verdict::Pass, "{reason}");
}

#[test]
fn a_processor_that_halts_with_interrupts_off_is_a_hang() {
    let outcome = run_code(&[CLI, HLT]);
    let (verdict, reason) = verdict(&outcome, "no-hang");
    assert_eq!(verdict, Verdict::Fail, "{reason}");
    assert!(reason.contains("n1 has halted for ever"), "{reason}");
}

#[test]
fn a_processor_that_waits_for_interrupts_is_none() {
    let outcome = run_code(&[&[STI, HLT][..], &FOREVER].concat());
    let (verdict, reason) = verdict(&outcome, "no-hang");
    assert_eq!(verdict, Verdict::Pass, "{reason}");
}

#[test]
fn a_machine_that_resets_itself_starts_again_and_has_not_panicked() {
    let outcome = run_code(&[print("up\n"), reset()].concat());
    let (panic, reason) = verdict(&outcome, "no-panic");
    assert_eq!(panic, Verdict::Pass, "{reason}");
    let boots = outcome.boots[0];
    assert!((10..=50).contains(&boots), "{boots}");
    let console = String::from_utf8_lossy(&outcome.consoles[0]);
    assert_eq!(console.matches("up\n").count() as u64, boots);
    let ends = states(&outcome);
    let both = ends
        .windows(2)
        .filter(|pair| pair == &[NodeState::Exited, NodeState::Restarted]);
    assert!(both.count() as u64 >= boots - 1, "{ends:?}");
}

#[test]
fn a_machine_that_resets_itself_after_a_panic_stays_down() {
    let panic = print("Kernel panic - not syncing: test\n");
    let outcome = run_code(&[panic, reset()].concat());
    assert_eq!(outcome.boots, [1]);
    let (panic, reason) = verdict(&outcome, "no-panic");
    assert_eq!(panic, Verdict::Fail, "{reason}");
    assert!(states(&outcome).contains(&NodeState::Panicked));
}

/// Runs `code` on a node that is waited for longer than any test could.
fn waited_for(code: &[u8]) -> Outcome {
    let ready = r#"ready console="it is up" within="24h""#;
    let scenario = SCENARIO.replace(r#"ready after="0s""#, ready);
    let scenario = scenario.replace("seed=1", "seed=1 stop-on-failure=#false");
    run_in(&scenario, code)
}

#[test]
fn a_machine_that_is_down_for_good_before_it_is_ready_ends_the_run() {
    let power_off = out(0x600, 0x34);
    let panic = [print("Kernel panic - not syncing: test\n"), reset()].concat();
    let triple_fault = vec![0x0f, 0x0b];
    let halted = vec![CLI, HLT];
    for (code, told) in [
        (power_off, "switched the machine off"),
        (panic, "asked for a reset"),
        (triple_fault, "triple fault"),
        (halted, "has halted for ever"),
    ] {
        let outcome = waited_for(&code);
        let End::NeverReady(lost) = &outcome.end else {
            panic!("{told}: {:?}", outcome.end);
        };
        assert_eq!(lost.len(), 1);
        assert!(outcome.end_ns < 1_000_000_000, "{told}: {}", outcome.end_ns);
        let (verdict, reason) = verdict(&outcome, "no-hang");
        assert_eq!(verdict, Verdict::Fail, "{reason}");
        assert!(reason.contains("n1") && reason.contains(told), "{reason}");
    }
}

#[test]
fn a_machine_that_shows_what_is_waited_for_as_it_goes_down_was_ready() {
    let code = [print("it is up\n"), out(0x600, 0x34)].concat();
    assert_eq!(waited_for(&code).end, End::Complete);
}

#[test]
fn a_machine_that_resets_itself_before_it_is_ready_is_waited_for() {
    let scenario = SCENARIO.replace(
        r#"ready after="0s""#,
        r#"ready console="it is up" within="2s""#,
    );
    let outcome = run_in(&scenario, &reset());
    assert_eq!(outcome.end, End::NotReady(vec![0]));
    assert_eq!(outcome.end_ns, 2_000_000_000);
}
