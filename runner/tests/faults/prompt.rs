//! Prompts: what a console shows and does not end, in all places that look for patterns. The node is a few
//! bytes of machine code in the place of a kernel.

use std::sync::Arc;

use chaosrun::artifact::node_image::NodeImage;
use chaosrun::outcome::Verdict;
use chaosrun::outcome::event::EventKind;
use chaosrun::run::{End, Outcome};

use crate::elf::{executable, out};
use crate::pair::{MILLI, alone, compiled, run_on};

/// A microsecond is ten instructions.
const BASE: &str = r#"
scenario "prompt" schema=1 {
    kernel "tiny"
    node "n1" { memory "8MiB"; speed 10 }
    READY
    run duration="2s" seed=1
}"#;

/// `sti; hlt; jmp .-1`
const SLEEP: [u8; 4] = [0xfb, 0xf4, 0xeb, 0xfd];

/// Runs a node that shows these texts, each so many milliseconds after the one before.
fn shown(ready: &str, texts: &[(u32, &str)]) -> Outcome {
    let mut code = Vec::new();
    for (wait_ms, text) in texts {
        // `mov ecx, n; loop .`, ten thousand times for a millisecond.
        code.push(0xb9);
        code.extend((wait_ms * 10_000 + 1).to_le_bytes());
        code.extend([0xe2, 0xfe]);
        code.extend(text.bytes().flat_map(|byte| out(0x3f8, byte)));
    }
    code.extend(SLEEP);
    let image = NodeImage {
        node: "n1".to_owned(),
        kernel: executable(&code).into(),
        kernel_hash: String::new(),
        initrd: Arc::from([]),
        initrd_hash: String::new(),
        identity: None,
        cmdline: String::new(),
        disks: Vec::new(),
    };
    run_on(&compiled(&BASE.replace("READY", ready)), &[image])
}

/// When it was ready, in tens of milliseconds, which is how long the node runs by itself at most.
fn ready_at(pattern: &str, texts: &[(u32, &str)]) -> Option<u64> {
    let outcome = shown(&format!("ready console={pattern} within=\"3s\""), texts);
    assert_eq!(outcome.end == End::Complete, outcome.ready_ns.is_some());
    Some((outcome.ready_ns? - 1) / (10 * MILLI))
}

#[test]
fn a_node_is_ready_at_a_prompt() {
    let prompt = [(20, "booting\n"), (200, "login: ")];
    assert_eq!(ready_at("\"login: \"", &prompt), Some(22));
    assert_eq!(ready_at("\"/log[a-z]+: /\"", &prompt), Some(22));
    // That nothing follows takes a while to be sure of.
    assert_eq!(ready_at("\"/^login: $/\"", &prompt), Some(32));
    // In pieces, and with a carriage return, which says at once that nothing is added.
    let pieces = [(20, "log"), (50, "in"), (30, ": \r")];
    assert_eq!(ready_at("\"login:\"", &pieces), Some(10));
    assert_eq!(ready_at("\"/^login: $/\"", &pieces), Some(10));
}

#[test]
fn what_is_not_shown_in_one_line_or_goes_on_is_no_prompt() {
    let texts = [(20, "log\rin: "), (20, "log\nin: "), (20, "okay\n")];
    assert_eq!(ready_at("\"login: \"", &texts), None);
    assert_eq!(ready_at("\"/^in: $/\"", &texts[..1]), Some(12));
    // It goes on before it rests.
    let slow = [(20, "ok"), (60, "ay"), (60, "\n")];
    assert_eq!(ready_at("\"/ok$/\"", &slow), None);
    assert_eq!(ready_at("\"/ok/\"", &slow), Some(2));
}

#[test]
fn a_trigger_acts_on_a_prompt_once_for_each_line() {
    let texts = [
        (20, "up\n"),
        (200, "> "),
        (20, "> "),
        (20, ">\n> "),
        (100, "\r>"),
        (100, "done\n"),
    ];
    let ready = "ready console=\"up\"\n\
        faults { after console=\"/>/\" times=9 { pause \"n1\" for=\"1ms\" } }";
    let outcome = shown(ready, &texts);
    assert_eq!(outcome.faults.get("pause"), Some(&3));
    let paused = |event: &&chaosrun::outcome::event::Event| {
        let EventKind::Fault(record) = &event.kind else {
            return false;
        };
        record.fault.begins()
    };
    let begun = outcome.events.iter().filter(paused);
    let times: Vec<u64> = begun.map(|event| event.vtime_ns / MILLI).collect();
    assert_eq!(times.len(), 3);
    for (time, shown) in times.iter().zip([220, 260, 360]) {
        assert!((shown..=shown + 14).contains(time), "{times:?}");
    }
}

#[test]
fn properties_see_prompts_as_triggers_do() {
    let verdict = |property: &str| {
        let properties = format!("ready console=\"up\"\nproperties {{ {property} }}");
        let outcome = shown(&properties, &[(20, "up\n"), (100, ">"), (20, " ")]);
        outcome.judgements[0].verdict
    };
    let eventually =
        |pattern: &str| format!("eventually console={pattern:?} within=\"1s\" after=\"start\"");
    assert_eq!(verdict(&eventually("> ")), Verdict::Pass);
    assert_eq!(verdict(&eventually("/^> $/")), Verdict::Pass);
    assert_eq!(verdict(&eventually("/^>$/")), Verdict::Fail);
    assert_eq!(verdict("sometimes console=\"/^> /\""), Verdict::Pass);
    assert_eq!(verdict("never console=\"/>/\""), Verdict::Fail);
    assert_eq!(verdict("never console=\"/>$/\""), Verdict::Pass);
}

#[test]
fn a_prompt_of_one_of_several_programs_is_shown_with_its_name() {
    let seen = alone(
        r#"
scenario "shared" schema=1 {
    kernel "tiny"
    guest "db" crate="observer" { args "prompt" "login: " }
    guest "other" crate="observer" { args "prompt" "> " }
    node "n1" { guest "db"; guest "other"; memory "64MiB" }
    ready console="db: login: " within="5s"
    properties { eventually console="/^other: > $/" within="1s" after="start" }
    FAULTS
    run duration="1s" seed=1
}"#,
    );
    let console = seen.consoles();
    let lines: Vec<&str> = console
        .lines()
        .map(|line| line.trim_end_matches('\r'))
        .collect();
    for prompt in ["db: login: ", "other: > "] {
        assert!(lines.contains(&prompt), "{lines:?}");
    }
    seen.none_failed();
}

#[test]
fn a_line_ends_with_its_machine() {
    let reset = [(20, "up\n"), (100, "half of a li")];
    let ready = "ready console=\"up\"\nfaults { at \"500ms\" { restart \"n1\" } }";
    let outcome = shown(ready, &reset);
    let lines: Vec<&str> = outcome
        .events
        .iter()
        .filter_map(|event| match &event.kind {
            EventKind::Console { line } => Some(line.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(lines, ["up", "half of a li", "up", "half of a li"]);
}
