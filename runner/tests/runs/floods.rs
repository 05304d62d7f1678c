//! Guests that send too much of something, or nonsense: the run ends, neither memory nor disk of the host
//! fills, what is cut is told, and what could not be judged is no pass.

use crate::program::{INCONCLUSIVE, PASSED, PROPERTY_FAILED, Place, Ran, cluster, judged, run};

/// The memory that a run may take, in KiB of address space.
const MEMORY: &str = "-v 3500000";
/// What its reports may take on the disk, in bytes.
const DISK: u64 = 400 << 20;

/// Runs a flood under the limit of memory.
fn flood(scenario: &str) -> (Place, Ran) {
    let place = Place::new(scenario);
    let ran = place.ran(&mut place.limited(MEMORY, &[]));
    assert!(ran.out.is_dir(), "{}", ran.stderr);
    assert!(ran.size() < DISK, "{} bytes of reports", ran.size());
    (place, ran)
}

#[test]
fn a_console_is_kept_up_to_its_limit() {
    let text = cluster(
        "console",
        r#"console limit="64KiB""#,
        r#"run duration="500ms""#,
    );
    let (_place, ran) = flood(&text);
    ran.exits(PASSED).spared_the_others();
    ran.notes("the console of bad showed")
        .notes("of which the first 65,536 are kept");
    assert_eq!(ran.file("consoles/bad.log").len(), 64 << 10);
}

#[test]
fn a_network_drops_what_does_not_fit() {
    let text = cluster("network calm", "speed 200", r#"run duration="600ms""#);
    let text = text.replace(
        r#"latency="1ms""#,
        r#"latency="1ms" bandwidth="10Mbit" queue="64KiB""#,
    );
    let (_place, ran) = flood(&text);
    ran.exits(PASSED).spared_the_others();
    let network = &ran.report()["networks"][0];
    assert!(network["frames_dropped"].as_u64() > Some(100), "{network}");
    assert!(
        network["bytes_delivered"].as_u64() < Some(2_000_000),
        "{network}"
    );
}

#[test]
fn a_full_disk_is_the_guests_business() {
    let disk = r#"disk "data" size="4MiB""#;
    let text = cluster("disk /dev/vda", disk, r#"run duration="500ms""#);
    let (_place, ran) = flood(&text);
    ran.exits(PASSED).spared_the_others();
    let (_, details) = &ran.events("bad", "disk is full")[0];
    assert_eq!(details["enospc"], true);
    assert_eq!(details["written"], 4 << 20);
}

#[test]
fn a_program_without_memory_dies_and_fails_no_panic() {
    let more = r#"run duration="800ms" stop-on-failure=#false"#;
    let (_place, ran) = flood(&cluster("memory", "", more));
    ran.exits(PROPERTY_FAILED).spared_the_others();
    let reason = ran.judges("no-panic", "fail");
    assert!(reason.contains("bad on bad died by signal 9"), "{reason}");
}

#[test]
fn nonsense_on_the_sdk_port_is_refused_and_the_program_goes_on() {
    let text = cluster("garbage", "", r#"run duration="600ms""#);
    let (_place, ran) = flood(&text);
    ran.exits(PASSED).spared_the_others();
    assert_eq!(ran.events("bad", "garbage is over").len(), 1);
    assert!(ran.events("bad", "bad SDK message").len() > 1000);
    assert!(ran.events("calm", "bad SDK message").is_empty());
}

/// Sends messages of a kind at full speed, with properties that look at them.
fn messages(kind: &str, properties: &str) -> (Place, Ran) {
    // Small messages need a faster processor to be too many.
    let speed = match kind {
        "publish" | "point" => "speed 400",
        _ => "speed 100",
    };
    let text = cluster(
        &format!("messages {kind}"),
        speed,
        r#"run duration="400ms""#,
    );
    let text = match properties {
        "" => text,
        more => judged(&text, more),
    };
    let (place, ran) = flood(&text);
    ran.spared_the_others();
    (place, ran)
}

/// Makes sure that what was not looked at is told, and that it is no pass.
#[track_caller]
fn is_cut(ran: &Ran) {
    ran.exits(INCONCLUSIVE).says("not looked at");
    let error = ran.error("chaosrun::run::flood");
    assert!(error.starts_with("bad sent more than"), "{error}");
    assert_eq!(ran.report()["verdict"], "inconclusive");
    assert!(
        ran.errors()
            .iter()
            .all(|(_, message)| !message.contains("calm"))
    );
}

#[test]
fn events_without_end_are_cut() {
    let (_place, ran) = messages("event", "");
    is_cut(&ran);
    ran.notes("events of bad came after its share of events.jsonl was full");
}

#[test]
fn assertions_without_end_are_cut() {
    is_cut(&messages("assert", "").1);
}

#[test]
fn catalogues_without_end_are_cut() {
    is_cut(&messages("catalog", "").1);
}

#[test]
fn set_ups_without_end_are_cut() {
    is_cut(&messages("setup", "").1);
}

#[test]
fn publications_without_end_are_cut() {
    is_cut(&messages("publish", r#"unique "value""#).1);
}

#[test]
fn histories_without_end_are_cut() {
    let (_place, ran) = messages("history", r#"linearizable "kv" model="register""#);
    is_cut(&ran);
}

#[test]
fn fault_points_without_end_are_cut() {
    is_cut(&messages("point", "").1);
}

#[test]
fn who_sends_little_is_not_cut() {
    let (_place, ran) = run(&cluster("calm", "", r#"run duration="400ms""#), &[]);
    ran.exits(PASSED);
    assert!(ran.errors().is_empty());
    assert_eq!(ran.report()["notes"], serde_json::json!([]));
}
