//! Guests that end, or never begin, or stop listening: the verdict says what happened on which node.

use crate::program::{
    INCONCLUSIVE, PASSED, PROPERTY_FAILED, Place, cluster, guest, judged, run, unjudged,
};

#[test]
fn a_kernel_that_panics_fails_no_panic() {
    let text = cluster("panic", "", r#"run duration="1s" stop-on-failure=#false"#);
    let (_place, ran) = run(&text, &[]);
    ran.exits(PROPERTY_FAILED).spared_the_others();
    let reason = ran.judges("no-panic", "fail");
    assert!(reason.contains("the kernel crashed on bad"), "{reason}");
    assert!(reason.contains("Kernel panic - not syncing"), "{reason}");
    let junit = String::from_utf8(ran.file("junit.xml")).expect("it is text");
    assert!(junit.contains("<failure"), "{junit}");
    assert!(!ran.file("findings/001.json").is_empty());
}

#[test]
fn a_node_that_is_never_ready_ends_the_run_and_shows_its_console() {
    let text = cluster("silent", "", r#"ready within="2s"; run duration="1s""#);
    let (_place, ran) = run(&text, &[]);
    ran.exits(PROPERTY_FAILED).says("did not get ready");
    let reason = ran.judges("no-hang", "fail");
    assert!(
        reason.contains("not ready") && reason.contains("bad"),
        "{reason}"
    );
    assert!(!reason.contains("calm"), "{reason}");
    let evidence = ran.report()["properties"].to_string();
    assert!(evidence.contains("it will never be ready"), "{evidence}");
    assert_eq!(ran.report()["run"]["virtual_time_ns"], 2_000_000_000u64);
}

#[test]
fn a_program_that_ends_before_it_is_ready_is_told_as_the_reason() {
    never_ready("quit 3", "", "bad on bad ended with exit code 3");
}

/// A long time for getting ready, of which not much passes if a run that can't begin ends at once.
const LONG: &str = r#"ready within="600s"; run duration="1s" stop-on-failure=#false"#;

/// Runs a node that can't become ready, and makes sure that the run ends at once and says why.
fn never_ready(args: &str, settings: &str, why: &str) {
    let worse = guest("misbehave");
    let worse = format!(r#"guest "worse" crate="{worse}" {{ args "quit" "5"; }}"#);
    let text = cluster(args, settings, &format!("{worse}\n    {LONG}"));
    let (_place, ran) = run(&text, &[]);
    ran.exits(PROPERTY_FAILED)
        .says("could not become ready any more");
    let reason = ran.judges("no-hang", "fail");
    assert!(reason.contains(why), "{reason}");
    assert!(!reason.contains("calm"), "{reason}");
    let end = ran.report()["run"]["virtual_time_ns"].as_u64();
    assert!(end < Some(20_000_000_000), "it went on until {end:?}");
    let evidence = ran.report()["properties"].to_string();
    assert!(evidence.contains("end of the console of bad"), "{evidence}");
}

#[test]
fn a_node_that_can_not_become_ready_any_more_ends_the_run_at_once() {
    // Which is a crash as well, and the run goes on after it.
    never_ready("abort", "", "bad on bad ended with signal 6");
    // The second program is no less needed than the first.
    never_ready(
        "quit 3",
        r#"guest "worse""#,
        "worse on bad ended with exit code 5",
    );
}

#[test]
fn what_can_still_make_a_node_ready_is_waited_for() {
    // A process that the program left behind.
    let (_place, ran) = run(&cluster("leave-behind", "", LONG), &[]);
    ran.exits(PASSED).spared_the_others();
    // A restart by policy, however often it has been in vain.
    let text = cluster("quit 3", "", r#"ready within="8s"; run duration="1s""#);
    let again = text.replace(
        r#"args "quit" "3";"#,
        r#"args "quit" "3"; restart "on-failure""#,
    );
    assert_ne!(text, again);
    let (_place, ran) = run(&again, &[]);
    ran.exits(PROPERTY_FAILED).says("did not get ready");
    assert_eq!(ran.report()["run"]["virtual_time_ns"], 8_000_000_000u64);
}

#[test]
fn the_last_words_of_a_program_make_its_node_ready() {
    let ready = r#"ready console="it is up" within="600s"; run duration="1s""#;
    let text = cluster("say it_is_up", "", &ready.replace("it is up", "it_is_up"));
    let calm = text.replace(r#"args "calm""#, r#"args "say" "it_is_up""#);
    assert_ne!(text, calm);
    let (_place, ran) = run(&unjudged(&calm), &[]);
    ran.exits(PASSED);
}

#[test]
fn a_program_that_ends_well_is_no_failure() {
    let (_place, ran) = run(&cluster("exit 0", "", r#"run duration="500ms""#), &[]);
    ran.exits(PASSED).spared_the_others();
    assert_eq!(ran.report()["notes"], serde_json::json!([]));
}

#[test]
fn a_program_that_ends_badly_is_told_and_fails_if_the_scenario_minds() {
    let (_place, ran) = run(&cluster("exit 3", "", r#"run duration="500ms""#), &[]);
    ran.exits(PASSED).spared_the_others();
    ran.notes("bad on bad ended with exit code 3")
        .says("exit code 3");
    let minds = r#"run duration="500ms" stop-on-failure=#false"#;
    let minds = judged(&cluster("exit 3", "", minds), r#"exit "bad" code=0"#);
    let (_place, ran) = run(&minds, &[]);
    ran.exits(PROPERTY_FAILED).spared_the_others();
    let reason = ran.judges("exit", "fail");
    assert!(reason.contains("bad") && reason.contains('3'), "{reason}");
}

#[test]
fn a_machine_that_switches_itself_off_is_told() {
    let (_place, ran) = run(&cluster("power-off", "", r#"run duration="500ms""#), &[]);
    ran.exits(PASSED).spared_the_others();
    ran.notes("bad was switched off by its own guest");
}

#[test]
fn a_program_that_computes_for_ever_ends_with_the_run() {
    let text = cluster("spin", "speed 100", r#"run duration="1s""#);
    let (_place, ran) = run(&text, &[]);
    ran.exits(PASSED).spared_the_others();
    let instructions = ran.report()["nodes"][0]["instructions"].as_u64();
    // All of the time behind the first 200 ms, but for the ticks of the kernel.
    assert!(instructions > Some(75_000_000), "{instructions:?}");
}

#[test]
fn a_processor_that_ignores_interrupts_fails_no_hang() {
    let more = r#"
    node "deaf" { kernel path="deaf.elf"; memory "16MiB"; speed 10; }
    run duration="3s" stop-on-failure=#false"#;
    let strict = judged(&cluster("exit 0", "", more), r#"no-hang within="300ms""#);
    let place = Place::new(&strict);
    std::fs::write(place.path("deaf.elf"), deaf()).expect("it can be written");
    let ran = place.run(&[]);
    ran.exits(PROPERTY_FAILED).spared_the_others();
    let reason = ran.judges("no-hang", "fail");
    assert!(
        reason.contains("deaf") && reason.contains("interrupts"),
        "{reason}"
    );
    // It takes two seconds to find out. Whether it would have gone on later is not known, and no pass.
    let place = Place::new(&strict.replace("300ms", "5s"));
    std::fs::write(place.path("deaf.elf"), deaf()).expect("it can be written");
    let ran = place.run(&[]);
    let reason = ran.exits(INCONCLUSIVE).judges("no-hang", "inconclusive");
    assert!(reason.contains("deaf is stuck"), "{reason}");
}

/// A kernel that does nothing but `jmp $`, with interrupts off as it is entered.
fn deaf() -> Vec<u8> {
    crate::elf::executable(&[0xeb, 0xfe])
}
