//! Ctrl-C and its kin, at each stage: a word about it, and what ran so far is reported as a part.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use crate::host::{folder_of, of_package};
use crate::program::{INCONCLUSIVE, Place, Ran, cluster};

/// Reads stderr until a line has this in it, and goes on reading it elsewhere.
pub fn wait_for(child: &mut Child, text: &str) -> String {
    let stderr = child.stderr.take().expect("it is piped");
    let mut lines = BufReader::new(stderr).lines();
    let mut said = String::new();
    for line in &mut lines {
        let line = line.expect("it is text");
        said += &(line.clone() + "\n");
        if line.contains(text) {
            // Nobody may find its stderr closed because of this test.
            std::thread::spawn(move || lines.count());
            return said;
        }
    }
    panic!("no `{text}` in:\n{said}");
}

fn signal(child: &Child, name: &str) {
    let mut kill = Command::new("sh");
    kill.args(["-c", "kill -s \"$0\" \"$1\"", name, &child.id().to_string()]);
    assert!(kill.status().expect("there is `kill`").success());
}

/// Runs a scenario, and does something to the process as soon as its stderr has a text.
fn while_it_runs(place: &Place, options: &[&str], text: &str, act: impl FnOnce(&Child)) -> Ran {
    let mut command = place.command(options);
    let log = place.path("stderr.txt");
    let file = std::fs::File::create(&log).expect("it can be made");
    command.stdout(Stdio::piped()).stderr(file);
    let child = command.spawn().expect("it can be started");
    let said = || std::fs::read_to_string(&log).unwrap_or_default();
    let comes = within(PATIENCE, || said().contains(text));
    assert!(comes, "no `{text}` in:\n{}", said());
    act(&child);
    let mut output = child.wait_with_output().expect("it ends");
    output.stderr = said().into_bytes();
    place.left(&output)
}

/// The report is marked as one of a part.
#[track_caller]
fn is_partial(ran: &Ran) {
    ran.exits(INCONCLUSIVE).says("chaosrun: interrupted");
    let stopped = ran.error("chaosrun::run::stopped");
    assert!(stopped.contains("interrupted"), "{stopped}");
    assert_eq!(ran.report()["verdict"], "inconclusive");
    let junit = String::from_utf8(ran.file("junit.xml")).expect("it is text");
    assert!(junit.contains("chaosrun::run::stopped"), "{junit}");
    ran.file("events.jsonl");
    ran.file("consoles/calm.log");
}

const ENDLESS: &str = r#"run duration="1000s" wall-limit="10m""#;

#[test]
fn ctrl_c_while_it_runs_reports_what_ran() {
    let place = Place::new(&cluster("spin", "", ENDLESS));
    let ran = while_it_runs(&place, &[], "begins", |child| {
        sleep(Duration::from_secs(2));
        signal(child, "INT");
    });
    is_partial(&ran);
}

#[test]
fn sigterm_is_as_good_and_seeds_that_did_not_run_are_told() {
    let place = Place::new(&cluster("spin", "", ENDLESS));
    let options = ["--seeds", "1..5"];
    let ran = while_it_runs(&place, &options, "begins", |child| {
        sleep(Duration::from_millis(500));
        signal(child, "TERM");
    });
    ran.exits(INCONCLUSIVE).says("4 of 5 seeds were not run");
    ran.error("chaosrun::run::stopped");
    ran.error("chaosrun::run::interrupted");
    assert!(place.path("out/seed-1/events.jsonl").exists());
}

#[test]
fn ctrl_c_during_the_boot_reports_what_booted() {
    // A node that computes with interrupts off never becomes ready.
    let more = r#"ready within="1000s"; run duration="1s" wall-limit="10m""#;
    let place = Place::new(&cluster("silent", "", more));
    let ran = while_it_runs(&place, &[], "begins", |child| signal(child, "INT"));
    is_partial(&ran);
}

#[test]
fn a_second_signal_ends_it_at_once() {
    // A processor that does nothing but write CR0, which empties its TLB, a hundred thousand instructions per
    // microsecond: the first window, a billion instructions long, takes the better part of a minute.
    let place = Place::new(
        r#"scenario "test" schema=1 {
    node "deaf" { kernel path="deaf.elf"; memory "16MiB"; speed 100000; }
    run duration="1000s" hash-every="1000s"
}"#,
    );
    // again: mov %cr0, %rax; mov %rax, %cr0; jmp again
    let code = [0x0f, 0x20, 0xc0, 0x0f, 0x22, 0xc0, 0xeb, 0xf8];
    std::fs::write(place.path("deaf.elf"), crate::elf::executable(&code))
        .expect("it can be written");
    let ran = while_it_runs(&place, &["--replay", "none"], "begins", |child| {
        has_computed(child, Duration::from_millis(500));
        // Two kinds, because a signal that is still pending is not sent again (signal(7)).
        signal(child, "INT");
        signal(child, "TERM");
    });
    ran.exits(INCONCLUSIVE).says("interrupted again");
    assert!(ran.document.is_null());
}

/// Waits until a process has had so much of the host's processors: unlike the time of day, that is the same
/// however loaded the host is.
fn has_computed(child: &Child, time: Duration) {
    let path = format!("/proc/{}/stat", child.id());
    // The fourteenth field, in hundredths of a second (proc_pid_stat(5)); the second one ends with the last
    // parenthesis.
    let user = || -> Option<u64> {
        let stat = std::fs::read_to_string(&path).ok()?;
        let fields = stat.rsplit_once(')')?.1;
        fields.split_whitespace().nth(11)?.parse().ok()
    };
    let has = || u128::from(user().expect("it runs")) * 10 >= time.as_millis();
    assert!(within(PATIENCE, has), "it does not compute");
}

#[test]
fn ctrl_c_while_a_guest_is_built_ends_it_at_once_and_the_build_with_it() {
    // Cargo is not told by anybody else: the signal goes to chaosrun alone.
    let build = r#"fn main() {
        std::fs::write("started", std::process::id().to_string()).unwrap();
        std::fs::rename("started", "pid").unwrap();
        std::thread::sleep(std::time::Duration::from_secs(600));
    }"#;
    let scenario = of_package("chaosrun-test-slow", "fn main() {}", build);
    let pid = folder_of("chaosrun-test-slow").join("pid");
    let _ = std::fs::remove_file(&pid);
    let place = Place::new(&scenario);
    let ran = while_it_runs(&place, &[], "building", |child| {
        assert!(within(PATIENCE, || pid.exists()), "nothing is built");
        signal(child, "INT");
    });
    ran.exits(INCONCLUSIVE)
        .says("interrupted before anything was run");
    assert!(ran.document.is_null());
    let pid = std::fs::read_to_string(&pid).expect("it is there");
    // Nobody may have asked yet how it ended.
    let ends = within(10, || {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
        stat.is_err() || stat.is_ok_and(|stat| stat.contains(") Z "))
    });
    assert!(ends, "the build goes on");
}

/// How many seconds something may take to begin: a kernel may be built first, on a loaded host.
const PATIENCE: u64 = 900;

/// Waits for something. False if it does not come in so many seconds.
fn within(seconds: u64, is_so: impl Fn() -> bool) -> bool {
    (0..seconds * 50).any(|_| {
        sleep(Duration::from_millis(20));
        is_so()
    })
}

#[test]
fn the_wall_limit_ends_a_run_as_inconclusive() {
    let text = cluster("spin", "", r#"run duration="1000s" wall-limit="1s""#);
    let place = Place::new(&text);
    let ran = place.run(&[]);
    ran.exits(INCONCLUSIVE);
    let stopped = ran.error("chaosrun::run::stopped");
    assert!(stopped.contains("wall-limit"), "{stopped}");
    ran.file("events.jsonl");
    ran.file("junit.xml");
}
