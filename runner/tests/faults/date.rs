//! The time of day, as programs see it, compared with the machine's: from the first program of each life on,
//! whatever faults do to clocks and to the nodes around them.
//!
//! A program tells the time of day just before and just after it sends an event, whose moment in the world
//! is known to the nanosecond. The right date at that moment has to lie between the two.

use chaosrun::run::{End, Outcome};
use serde_json::Value;

use crate::pair::{MILLI, outcome, told_by};

/// The date at which worlds begin, in nanoseconds since 1970.
const EPOCH_NS: i64 = chaosrun_vmm::devices::rtc::DEFAULT_EPOCH * 1_000_000_000;
const SECOND: i64 = 1_000_000_000;

/// How far a date may lie outside of the two that a program saw: what the kernel loses when it makes
/// nanoseconds of a counter. Its clock is made of whole ticks, of which it has 250 in a second, and the
/// counter has 12 million parts of one; so that it may be wrong by a part in so many for each nanosecond
/// since the machine was switched on, and by the parts of nanoseconds that it drops.
fn slack(since_ns: u64) -> i64 {
    (since_ns / 12_000_000 + 100) as i64
}

/// The most that may lie between the two for the comparison to say anything.
const NARROW_NS: i64 = 20_000;

/// An event: when it was sent, in world time since power-on, and the dates before and after.
#[derive(Debug)]
struct Seen {
    at_ns: u64,
    before: i64,
    after: i64,
}

fn seen(outcome: &Outcome, node: &str) -> Vec<Seen> {
    let events = told_by(outcome, node, "date");
    let pairs = events.windows(2).filter_map(|pair| {
        let [(at_ns, first), (_, second)] = pair else {
            return None;
        };
        // There is none in the first event of a life.
        let after = second["after_last"].as_i64()?;
        let before = first["before"].as_i64()?;
        Some(Seen {
            at_ns: *at_ns,
            before,
            after,
        })
    });
    pairs.collect()
}

/// Makes sure that between these milliseconds since all nodes were ready a node's date was so many
/// nanoseconds ahead.
fn ahead(outcome: &Outcome, node: &str, from_ms: u64, to_ms: u64, by_ns: i64) {
    let ready = outcome.ready_ns.expect("they got ready");
    let range = ready + from_ms * MILLI..ready + to_ms * MILLI;
    within(outcome, node, range, |_| by_ns);
}

fn within(outcome: &Outcome, node: &str, range: std::ops::Range<u64>, by_ns: impl Fn(u64) -> i64) {
    let mut all = seen(outcome, node);
    all.retain(|seen| range.contains(&seen.at_ns));
    assert!(all.len() > 3, "{node} says nothing in {range:?}");
    let mut narrowest = i64::MAX;
    for Seen {
        at_ns,
        before,
        after,
    } in all
    {
        let right = EPOCH_NS + at_ns as i64 + by_ns(at_ns);
        let slack = slack(at_ns);
        assert!(
            before - slack <= right && right <= after + slack,
            "{node} at {at_ns} ns: {} ns wrong before and {} ns after",
            before - right,
            after - right
        );
        narrowest = narrowest.min(after - before);
    }
    assert!(narrowest < NARROW_NS, "{node}: {narrowest} ns");
}

/// The scenario of these nodes and faults.
fn run(kernel: &str, nodes: &str, faults: &str, duration: &str) -> Outcome {
    let base = format!(
        r#"
scenario "dates" schema=1 {{
    kernel "{kernel}"
    guest "date" crate="observer" {{ args "date" }}
    {nodes}
    FAULTS
    run duration="{duration}" seed=1
}}"#
    );
    let memory = if kernel == "tiny" { "64MiB" } else { "256MiB" };
    let outcome = outcome(&base.replace("MEMORY", memory), faults);
    assert_eq!(outcome.end, End::Complete);
    assert_eq!(outcome.unhealed, [""; 0]);
    for node in nodes.split('"').skip(1).step_by(2) {
        let failed = told_by(&outcome, node, "command failed");
        assert_eq!(failed, [] as [(u64, Value); 0], "{node}");
    }
    outcome
}

fn node(name: &str, clock: &str) -> String {
    format!("node \"{name}\" {{ guest \"date\"; memory \"MEMORY\"; {clock} }}\n")
}

#[test]
fn a_clock_is_as_skewed_as_the_scenario_says_when_the_first_program_starts() {
    let skews = [
        ("early", "20ms", 20 * MILLI as i64),
        ("late", "-20ms", -20 * MILLI as i64),
        ("nearly", "999ms", 999 * MILLI as i64),
        ("barely", "-1us", -1_000),
        ("long", "-3h", -3 * 3600 * SECOND),
        ("right", "0s", 0),
    ];
    let nodes: String = skews
        .iter()
        .map(|(name, skew, _)| node(name, &format!("clock skew=\"{skew}\"")))
        .collect();
    let outcome = run("tiny", &nodes, "", "300ms");
    for (name, _, by_ns) in skews {
        within(&outcome, name, 0..u64::MAX, |_| by_ns);
    }
}

/// Nodes that start again in each of the ways, after times that are no seconds, some of them wrong from the
/// beginning.
fn restarts(kernel: &str, unit_ms: u64) {
    let ms = |units: u64| format!("{}ms", units * unit_ms + 7);
    let faults = format!(
        r#"at "{a}" {{
            kill "killed" restart-after="{b}"
            power-loss "dark" restart-after="{c}"
            restart "reset"
            kill "skewed" restart-after="{b}"
            kill "fast" restart-after="{b}"
            pause "paused" for="{b}"
        }}
        at "{d}" {{ kill "killed" restart-after="{a}"; restart "dark" }}"#,
        a = ms(2),
        b = ms(1),
        c = ms(3),
        d = ms(12),
    );
    let names = ["killed", "dark", "reset", "paused"];
    let mut nodes: String = names.iter().map(|name| node(name, "")).collect();
    nodes += &node("skewed", "clock skew=\"20ms\"");
    nodes += &node("fast", "clock drift=\"50ppm\"");
    let outcome = run(kernel, &nodes, &faults, &ms(24));
    for name in names {
        within(&outcome, name, 0..u64::MAX, |_| 0);
    }
    within(&outcome, "skewed", 0..u64::MAX, |_| 20 * MILLI as i64);
    within(&outcome, "fast", 0..u64::MAX, |at| (at / 20_000) as i64);
    assert_eq!(outcome.boots, [3, 3, 2, 1, 2, 2]);
    assert_eq!(outcome.notes, [""; 0]);
}

#[test]
fn a_clock_is_right_after_any_restart() {
    restarts("tiny", 100);
}

#[test]
fn a_clock_is_right_after_any_restart_with_debians_kernel() {
    restarts("debian", 500);
}

/// When nodes go down, when they are switched on again, when they run programs at the latest, and when the
/// run ends, in milliseconds.
#[derive(Clone, Copy)]
struct Times {
    down: u64,
    up: u64,
    runs: u64,
    end: u64,
}

/// What takes a node's init to follow, at most, in milliseconds.
const MARGIN: u64 = 30;
/// The skew of most faults here.
const LONG: i64 = 50 * SECOND;

/// A scenario of many nodes, each with an order of its own of what happens to it, and what its clock has to
/// show from when to when.
struct Orders {
    times: Times,
    nodes: String,
    faults: String,
    expected: Vec<(String, u64, u64, i64)>,
}

impl Orders {
    fn add(&mut self, name: &str, faults: &str) {
        self.nodes += &node(name, "");
        self.faults += faults;
        self.faults += "\n";
    }

    fn expect(&mut self, name: &str, from: u64, to: u64, by_ns: i64) {
        self.expected.push((name.to_owned(), from, to, by_ns));
    }

    fn kill(&self, name: &str) -> String {
        let Times { down, up, .. } = self.times;
        let after = up - down;
        format!("at \"{down}ms\" {{ kill \"{name}\" restart-after=\"{after}ms\" }}")
    }

    /// A skew of 50 s from one moment to another, of a node that goes down and starts again.
    fn skew(&mut self, name: &str, from: u64, to: u64) {
        let Times { runs, end, .. } = self.times;
        let (kill, length) = (self.kill(name), to - from);
        let skew = format!("clock-skew \"{name}\" by=\"50s\" for=\"{length}ms\"");
        self.add(name, &format!("{kill}\n at \"{from}ms\" {{ {skew} }}"));
        if to > runs {
            self.expect(name, from.max(runs) + MARGIN, to, LONG);
        }
        self.expect(name, to.max(runs) + MARGIN, end, 0);
    }

    /// Three at a time, of which one ends while the node is down and one begins then.
    fn several(&mut self) {
        let Times {
            down,
            up,
            runs,
            end,
        } = self.times;
        let (kill, begin, between) = (self.kill("several"), down - 100, (down + up) / 2);
        let (first, last) = (runs + 600 - begin, runs + 400 - between);
        self.add(
            "several",
            &format!(
                r#"{kill}
                at "{begin}ms" {{
                    clock-skew "several" by="50s" for="{first}ms"
                    clock-skew "several" by="-20ms" for="150ms"
                }}
                at "{between}ms" {{ clock-skew "several" by="3ms" for="{last}ms" }}"#
            ),
        );
        let (less, more) = (-20 * MILLI as i64, 3 * MILLI as i64);
        self.expect("several", begin + MARGIN, down, LONG + less);
        self.expect("several", runs, runs + 400, LONG + more);
        self.expect("several", runs + 400 + MARGIN, runs + 600, LONG);
        self.expect("several", runs + 600 + MARGIN, end, 0);
    }

    /// Jumps stay, also those of a node that is down or boots.
    fn jumps(&mut self) {
        let Times {
            down,
            up,
            runs,
            end,
        } = self.times;
        let (kill, between) = (self.kill("jumps"), (down + up) / 2);
        let (booting, late) = (up + 20, runs + 400);
        self.add(
            "jumps",
            &format!(
                r#"{kill}
                at "{between}ms" {{ clock-jump "jumps" by="1h" }}
                at "{booting}ms" {{ clock-jump "jumps" by="-7ms" }}
                at "{late}ms" {{ clock-jump "jumps" by="5us" }}"#
            ),
        );
        let hour = 3600 * SECOND - 7 * MILLI as i64;
        self.expect("jumps", runs, late, hour);
        self.expect("jumps", late + MARGIN, end, hour + 5_000);
    }

    /// Nodes that stand still when it begins, or ends.
    fn stands(&mut self) {
        let Times {
            down, runs, end, ..
        } = self.times;
        let (length, between, before) = (runs - down, down + 100, down - 100);
        let rest = runs + 400 - between;
        for (name, at, lasts) in [("stands-begin", between, rest), ("stands-end", before, 200)] {
            self.add(
                name,
                &format!(
                    r#"at "{down}ms" {{ pause "{name}" for="{length}ms" }}
                    at "{at}ms" {{ clock-skew "{name}" by="50s" for="{lasts}ms" }}"#
                ),
            );
        }
        self.expect("stands-begin", runs + MARGIN, runs + 400, LONG);
        self.expect("stands-begin", runs + 400 + MARGIN, end, 0);
        self.expect("stands-end", before + MARGIN, down, LONG);
        self.expect("stands-end", runs + MARGIN, end, 0);
    }

    /// One without an end, which ends when all heals.
    fn quiet(&mut self) {
        let Times { down, end, .. } = self.times;
        let skew = "clock-skew \"quiet\" by=\"50s\"";
        self.add(
            "quiet",
            &format!("at \"{down}ms\" {{ {skew} }}\n quiet \"400ms\""),
        );
        self.expect("quiet", down + MARGIN, end - 400, LONG);
        self.expect("quiet", end - 400 + MARGIN, end, 0);
    }
}

/// Skews that begin and end in each order with what happens to their nodes.
fn orders(kernel: &str, times: Times, step: usize) {
    let Times {
        down,
        up,
        runs,
        end,
    } = times;
    let mut orders = Orders {
        times,
        nodes: String::new(),
        faults: String::new(),
        expected: Vec::new(),
    };
    // The node boots when the skew begins, and when it ends, at any of its stages.
    for at in (up..runs).step_by(step) {
        orders.skew(&format!("boots{at}"), at, runs + 400);
        orders.skew(&format!("booted{at}"), down - 100, at);
    }
    let between = (down + up) / 2;
    orders.skew("begins-down", between, runs + 400);
    orders.skew("ends-down", down - 100, between);
    orders.skew("all-down", between, between + 10);
    orders.skew("restarts", down - 100, runs + 400);
    orders.several();
    orders.jumps();
    orders.stands();
    orders.quiet();
    let outcome = run(kernel, &orders.nodes, &orders.faults, &format!("{end}ms"));
    // Nobody could notice this one, and the others did.
    let noted = |note: &String| note.starts_with("clock-skew had no effect on all-down");
    assert!(
        outcome.notes.len() == 1 && outcome.notes.iter().all(noted),
        "{:?}",
        outcome.notes
    );
    for (name, from, to, by_ns) in orders.expected {
        ahead(&outcome, &name, from, to, by_ns);
    }
}

#[test]
fn skews_are_as_long_as_they_are_whatever_happens_to_the_node() {
    let times = Times {
        down: 300,
        up: 500,
        runs: 700,
        end: 1_900,
    };
    orders("tiny", times, 23);
}
