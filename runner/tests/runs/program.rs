//! Running the program on a scenario, and looking at what it left.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// Exit codes, see `chaosrun --help`.
pub const PASSED: Option<i32> = Some(0);
pub const PROPERTY_FAILED: Option<i32> = Some(1);
pub const INVALID_SCENARIO: Option<i32> = Some(3);
pub const NOTHING_SELECTED: Option<i32> = Some(4);
pub const INCONCLUSIVE: Option<i32> = Some(5);
pub const HOST_CANNOT: Option<i32> = Some(69);

/// The folder of a guest's sources.
pub fn guest(name: &str) -> String {
    let guests = Path::new(env!("CARGO_MANIFEST_DIR")).join("../guests");
    let path = guests.join(name).canonicalize().expect("it is there");
    path.display().to_string()
}

/// A cluster of two: `bad` runs the guest with `args`, `calm` runs one that behaves. `settings` are more of
/// the node `bad`, and `more` is more of the scenario, which needs a `run`.
pub fn cluster(args: &str, settings: &str, more: &str) -> String {
    let words: Vec<String> = args.split(' ').map(|word| format!("\"{word}\"")).collect();
    let (words, guest) = (words.join(" "), guest("misbehave"));
    let ready = match more.contains("ready ") {
        true => "",
        false => "ready within=\"10s\"",
    };
    format!(
        r#"scenario "test" schema=1 {{
    kernel "tiny"
    guest "bad" crate="{guest}" {{ args {words}; }}
    guest "calm" crate="{guest}" {{ args "calm"; }}
    network "lan" latency="1ms"
    node "bad" {{ guest "bad"; memory "64MiB"; network "lan"
        {settings}
    }}
    node "calm" {{ guest "calm"; memory "64MiB"; network "lan"; }}
    {ready}
    {JUDGED}
    {more}
}}"#
    )
}

/// What [`cluster`] judges besides what is always judged.
const JUDGED: &str = "properties { sometimes \"the calm node goes on\"; }";

/// A scenario of [`cluster`] with more properties.
pub fn judged(scenario: &str, more: &str) -> String {
    let with = JUDGED.replace("; }", &format!("; {more}; }}"));
    scenario.replace(JUDGED, &with)
}

/// A scenario of [`cluster`] with nothing but what is always judged, for runs that are too short for more.
pub fn unjudged(scenario: &str) -> String {
    scenario.replace(JUDGED, "")
}

/// A folder with a scenario, in which the program is run and writes its reports to `out`.
pub struct Place {
    folder: TempDir,
}

impl Place {
    /// A new folder with this scenario.
    pub fn new(scenario: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder can be made");
        fs::write(folder.path().join("test.kdl"), scenario).expect("it can be written");
        Self { folder }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// `chaosrun run test.kdl --out out` with options; with none of these, `--jobs 1 --replay none`.
    pub fn command(&self, options: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_chaosrun"));
        command.current_dir(self.folder.path()).stdin(Stdio::null());
        command.args(["run", "test.kdl"]);
        for (name, value) in [("--jobs", "1"), ("--replay", "none"), ("--out", "out")] {
            if !options.contains(&name) {
                command.args([name, value]);
            }
        }
        command.args(options);
        command
    }

    /// The same under a limit of `ulimit`; what exceeds it is an error of the call, not a signal.
    pub fn limited(&self, limit: &str, options: &[&str]) -> Command {
        let inner = self.command(options);
        let mut command = Command::new("sh");
        command.current_dir(self.folder.path()).stdin(Stdio::null());
        let script = format!("trap '' XFSZ; ulimit {limit}; exec \"$0\" \"$@\"");
        command.args(["-c", &script]).arg(inner.get_program());
        command.args(inner.get_args());
        command
    }

    /// Runs the program.
    pub fn run(&self, options: &[&str]) -> Ran {
        self.ran(&mut self.command(options))
    }

    /// Runs a command, and takes what it left in `out`.
    pub fn ran(&self, command: &mut Command) -> Ran {
        let output = command.output().expect("it can be started");
        self.left(&output)
    }

    /// What a program that has ended left.
    pub fn left(&self, output: &Output) -> Ran {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let report = fs::read(self.path("out/report.json")).unwrap_or_default();
        Ran {
            code: output.status.code(),
            stdout: text(&output.stdout),
            stderr: text(&output.stderr),
            document: serde_json::from_slice(&report).unwrap_or_default(),
            out: self.path("out"),
        }
    }
}

/// Runs a scenario in a folder of its own.
pub fn run(scenario: &str, options: &[&str]) -> (Place, Ran) {
    let place = Place::new(scenario);
    let ran = place.run(options);
    (place, ran)
}

/// What a run of the program came to.
#[derive(Debug)]
pub struct Ran {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
    /// `report.json`, or null if there is none.
    pub document: Value,
    pub out: PathBuf,
}

impl Ran {
    /// Makes sure of the exit code.
    #[track_caller]
    pub fn exits(&self, code: Option<i32>) -> &Self {
        assert_eq!(self.code, code, "{}\n{}", self.stdout, self.stderr);
        self
    }

    /// Makes sure that this is printed, on stdout or on stderr.
    #[track_caller]
    pub fn says(&self, text: &str) -> &Self {
        let said = self.stdout.contains(text) || self.stderr.contains(text);
        assert!(said, "no `{text}` in:\n{}\n{}", self.stdout, self.stderr);
        self
    }

    /// The only report.
    #[track_caller]
    pub fn report(&self) -> &Value {
        let reports = self.reports();
        assert_eq!(reports.len(), 1, "{}\n{}", self.stdout, self.stderr);
        &reports[0]
    }

    #[track_caller]
    pub fn reports(&self) -> &[Value] {
        let reports = self.document["reports"].as_array();
        reports.unwrap_or_else(|| panic!("no report: {}\n{}", self.stdout, self.stderr))
    }

    /// Makes sure of the verdict on a property, and returns its reason.
    #[track_caller]
    pub fn judges(&self, property: &str, verdict: &str) -> &str {
        let all = self.report()["properties"].as_array().expect("a list");
        let of_name = |p: &&Value| {
            p["name"]
                .as_str()
                .is_some_and(|name| name.contains(property))
        };
        let found = all.iter().find(of_name);
        let found = found.unwrap_or_else(|| panic!("no {property} in {all:#?}"));
        assert_eq!(found["verdict"], verdict, "{found:#}");
        found["reason"].as_str().expect("a text")
    }

    /// The messages of the errors, with their codes.
    pub fn errors(&self) -> Vec<(String, String)> {
        let errors = self.report()["errors"].as_array().expect("a list");
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let errors = errors.iter();
        errors
            .map(|error| (text(&error["code"]), text(&error["message"])))
            .collect()
    }

    /// Makes sure that there is an error with this code, and returns its message.
    #[track_caller]
    pub fn error(&self, code: &str) -> String {
        let errors = self.errors();
        let found = errors.iter().find(|(own, _)| own == code);
        found
            .unwrap_or_else(|| panic!("no {code} in {errors:?}"))
            .1
            .clone()
    }

    /// Makes sure that a note has this in it.
    #[track_caller]
    pub fn notes(&self, text: &str) -> &Self {
        let notes = &self.report()["notes"];
        let found = notes.as_array().expect("a list").iter();
        let mut found = found.filter_map(Value::as_str);
        assert!(
            found.any(|note| note.contains(text)),
            "no `{text}` in {notes}"
        );
        self
    }

    /// A file of the folder of reports.
    #[track_caller]
    pub fn file(&self, name: &str) -> Vec<u8> {
        let path = self.out.join(name);
        fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// Bytes of all files of the folder of reports.
    pub fn size(&self) -> u64 {
        fn of(folder: &Path) -> u64 {
            let entries = fs::read_dir(folder).expect("it can be listed");
            let size = |entry: std::io::Result<fs::DirEntry>| {
                let entry = entry.expect("it can be listed");
                let meta = entry.metadata().expect("it is there");
                if meta.is_dir() {
                    of(&entry.path())
                } else {
                    meta.len()
                }
            };
            entries.map(size).sum()
        }
        of(&self.out)
    }

    /// The details of a node's SDK events of a name, with their moments in nanoseconds.
    pub fn events(&self, node: &str, name: &str) -> Vec<(u64, Value)> {
        let text = String::from_utf8(self.file("events.jsonl")).expect("it is text");
        let events = text
            .lines()
            .map(|line| serde_json::from_str(line).expect("a JSON object"));
        let of = |event: Value| {
            let own = event["node"] == node && event["name"] == name;
            own.then(|| {
                (
                    event["vtime_ns"].as_u64().unwrap_or(0),
                    event["details"].clone(),
                )
            })
        };
        events.filter_map(of).collect()
    }

    /// Makes sure that the node next door went on to the end of the run, and that all reports are there.
    #[track_caller]
    pub fn spared_the_others(&self) -> &Self {
        self.judges("the calm node goes on", "pass");
        let end = self.report()["run"]["virtual_time_ns"]
            .as_u64()
            .expect("a number");
        let calm = self.events("calm", "calm");
        let last = calm.last().map_or(0, |(time, _)| *time);
        assert!(
            last + 100_000_000 > end,
            "the calm node was last heard at {last} of {end}"
        );
        let junit = String::from_utf8(self.file("junit.xml")).expect("it is text");
        assert!(junit.contains("the calm node goes on"), "{junit}");
        for node in ["bad", "calm"] {
            self.file(&format!("consoles/{node}.log"));
        }
        self.file("assertions.json");
        self.file("lan.pcapng");
        self
    }
}
