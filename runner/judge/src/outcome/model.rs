//! The one model of a report: what ran, what was judged, and what was found.
//!
//! Times are integers of nanoseconds, hashes are lower-case hexadecimal text, and seeds are decimal
//! text, because a 64-bit seed does not survive a JSON reader that has only doubles.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::finding::Finding;
use super::history::HistoryPart;
pub use super::summary::{Attachment, Exploration, NetworkSummary, NodeSummary};

/// The version of the shape of `report.json`. It grows when a field changes its meaning or goes;
/// a new optional field does not change it.
pub const SCHEMA_VERSION: u32 = 1;

/// Everything that one invocation of chaosrun reports: one or more scenarios.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Document {
    /// The version of this document's shape.
    pub schema_version: u32,
    /// The version of chaosrun that wrote it.
    pub chaosrun_version: String,
    /// The verdict over all scenarios.
    pub verdict: Verdict,
    /// How many properties of all scenarios got which verdict.
    pub totals: Totals,
    /// The reports, in the order in which the scenarios were given.
    pub reports: Vec<Report>,
}

impl Document {
    /// Joins reports into one document and sums them up.
    pub fn new(chaosrun_version: impl Into<String>, reports: Vec<Report>) -> Self {
        let mut totals = Totals::default();
        for report in &reports {
            totals.add(&report.totals);
        }
        Self {
            schema_version: SCHEMA_VERSION,
            chaosrun_version: chaosrun_version.into(),
            verdict: Verdict::worst(reports.iter().map(|report| report.verdict)),
            totals,
            reports,
        }
    }

    /// Says how the process has to end.
    ///
    /// Nondeterminism comes before everything else, because it puts the other verdicts in doubt; a
    /// failed property comes before an error, because it is certain.
    pub fn exit_status(&self) -> ExitStatus {
        let any = |test: &dyn Fn(&Report) -> bool| self.reports.iter().any(test);
        if any(&Report::is_nondeterministic) {
            ExitStatus::Nondeterminism
        } else if self.totals.failed > 0 {
            ExitStatus::PropertyFailed
        } else if any(&|report| report.has_error(ErrorCause::Internal)) {
            ExitStatus::Internal
        } else if any(&|report| report.has_error(ErrorCause::Host)) {
            ExitStatus::HostCannot
        } else if self.verdict == Verdict::Pass {
            ExitStatus::Passed
        } else {
            ExitStatus::Inconclusive
        }
    }

    /// A name for each report that no other report of this document has, in order.
    ///
    /// It is the scenario's name, with the variant and the seed where they tell two reports apart.
    pub fn unique_names(&self) -> Vec<String> {
        let plain: Vec<String> = self.reports.iter().map(Report::title).collect();
        let with_seed = plain.iter().zip(&self.reports).map(|(name, report)| {
            let shared = plain.iter().filter(|other| *other == name).count() > 1;
            if shared {
                format!("{name}@seed-{}", report.run.seed)
            } else {
                name.clone()
            }
        });
        numbered(with_seed)
    }
}

/// Makes names unique by numbering the second and later uses of each.
pub(crate) fn numbered(names: impl Iterator<Item = String>) -> Vec<String> {
    let mut uses: BTreeMap<String, u32> = BTreeMap::new();
    let mut unique: Vec<String> = Vec::new();
    for name in names {
        let mut candidate = name.clone();
        loop {
            let count = uses.entry(candidate.clone()).or_insert(0);
            *count += 1;
            if *count == 1 {
                break;
            }
            candidate = format!("{name} #{count}");
        }
        unique.push(candidate);
    }
    unique
}

/// How a process ends; the command line turns it into an exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitStatus {
    /// All properties hold: exit code 0.
    Passed,
    /// A property failed: exit code 1.
    PropertyFailed,
    /// Something could not be decided, or nothing was judged: exit code 5.
    Inconclusive,
    /// Two runs with the same inputs differed: exit code 6.
    Nondeterminism,
    /// This host cannot run the plan: exit code 69.
    HostCannot,
    /// chaosrun itself failed: exit code 70.
    Internal,
}

/// What running one scenario with one seed found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// The worst of the properties' verdicts; inconclusive if there are none, or after an error.
    pub verdict: Verdict,
    /// How many properties got which verdict.
    pub totals: Totals,
    /// What ran.
    pub run: RunInfo,
    /// What was judged: the scenario's properties first, then the built-in ones.
    pub properties: Vec<Property>,
    /// What was declared and not judged.
    pub skipped: Vec<SkippedProperty>,
    /// The failures, each with the way to reproduce it.
    pub findings: Vec<Finding>,
    /// What kept chaosrun from doing its work.
    pub errors: Vec<ToolError>,
    /// What a reader has to know besides: what guests did of which nobody said that it is wrong, and
    /// what is not kept because there was too much of it.
    #[serde(default)]
    pub notes: Vec<String>,
    /// What each node did.
    pub nodes: Vec<NodeSummary>,
    /// What each network carried.
    pub networks: Vec<NetworkSummary>,
    /// How many faults of each kind were injected.
    pub faults_injected: BTreeMap<String, u64>,
    /// How much was explored, if the scenario asked for exploration.
    pub exploration: Option<Exploration>,
    /// The files that belong to this report.
    pub attachments: Vec<Attachment>,
}

impl Report {
    /// Starts an empty report; fill the lists and then call [`Report::finish`].
    pub fn new(run: RunInfo) -> Self {
        Self {
            verdict: Verdict::Inconclusive,
            totals: Totals::default(),
            run,
            properties: Vec::new(),
            skipped: Vec::new(),
            findings: Vec::new(),
            errors: Vec::new(),
            notes: Vec::new(),
            nodes: Vec::new(),
            networks: Vec::new(),
            faults_injected: BTreeMap::new(),
            exploration: None,
            attachments: Vec::new(),
        }
    }

    /// Computes the totals and the verdict, and lists as skipped each built-in property about which
    /// the run said nothing.
    #[must_use]
    pub fn finish(mut self) -> Self {
        for kind in PropertyKind::BUILT_IN {
            let judged = self.properties.iter().any(|property| property.kind == kind);
            let name = kind.name();
            if !judged && !self.skipped.iter().any(|skipped| skipped.name == name) {
                let reason = "this run did not check it".to_owned();
                self.skipped.push(SkippedProperty {
                    name: name.to_owned(),
                    kind,
                    reason,
                });
            }
        }
        // A stable sort: the scenario's order stays, and the built-in properties come last.
        self.properties
            .sort_by_key(|property| property.origin == Origin::BuiltIn);
        self.totals = Totals::default();
        for property in &self.properties {
            self.totals.count(property.verdict);
        }
        self.totals.skipped = self.skipped.len() as u64;
        self.totals.errors = self.errors.len() as u64;
        let worst = Verdict::worst(self.properties.iter().map(|property| property.verdict));
        let undecided = worst == Verdict::Pass && !self.errors.is_empty();
        self.verdict = if undecided {
            Verdict::Inconclusive
        } else {
            worst
        };
        self
    }

    /// The scenario's name, with the variant if there is one: `raft` or `raft[tiny]`.
    pub fn title(&self) -> String {
        match &self.run.variant {
            Some(variant) => format!("{}[{variant}]", self.run.scenario),
            None => self.run.scenario.clone(),
        }
    }

    /// The first finding about a property.
    pub fn finding_of(&self, property: &Property) -> Option<&Finding> {
        self.findings
            .iter()
            .find(|finding| finding.property == property.name)
    }

    fn is_nondeterministic(&self) -> bool {
        let broken =
            |p: &Property| p.kind == PropertyKind::ReplayIsIdentical && p.verdict == Verdict::Fail;
        self.properties.iter().any(broken)
    }

    fn has_error(&self, cause: ErrorCause) -> bool {
        self.errors.iter().any(|error| error.cause == cause)
    }
}

/// What was decided about a property. "Could not decide" is never a pass.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It held wherever it was looked at, and it was looked at.
    Pass,
    /// It could not be decided.
    Inconclusive,
    /// It was violated.
    Fail,
}

impl Verdict {
    /// The worst of several verdicts; inconclusive if there is none, because nothing was shown.
    pub fn worst(verdicts: impl Iterator<Item = Self>) -> Self {
        verdicts.max().unwrap_or(Self::Inconclusive)
    }

    /// The word for it, as in JSON.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Inconclusive => "inconclusive",
        }
    }
}

/// How many properties got which verdict.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Totals {
    /// Properties that hold.
    pub passed: u64,
    /// Properties that were violated.
    pub failed: u64,
    /// Properties that could not be decided.
    pub inconclusive: u64,
    /// Properties that were not judged.
    pub skipped: u64,
    /// Errors of the tool or its host.
    pub errors: u64,
}

impl Totals {
    /// How many properties were judged.
    pub const fn judged(&self) -> u64 {
        self.passed
            .saturating_add(self.failed)
            .saturating_add(self.inconclusive)
    }

    fn count(&mut self, verdict: Verdict) {
        match verdict {
            Verdict::Pass => self.passed += 1,
            Verdict::Fail => self.failed += 1,
            Verdict::Inconclusive => self.inconclusive += 1,
        }
    }

    fn add(&mut self, other: &Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.inconclusive += other.inconclusive;
        self.skipped += other.skipped;
        self.errors += other.errors;
    }
}

/// What ran. Everything but [`RunInfo::wall`] is the same in each run of one plan and seed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RunInfo {
    /// The scenario's name.
    pub scenario: String,
    /// The variant of the scenario's matrix.
    pub variant: Option<String>,
    /// What the scenario says about itself.
    pub description: Option<String>,
    /// The scenario's file, as it was given, with `/` between its parts.
    pub scenario_file: String,
    /// The blake3 hash of the scenario's text.
    pub scenario_hash: String,
    /// The plan's hash, which is its name.
    pub plan_hash: String,
    /// The seed, a 64-bit number in decimal.
    pub seed: String,
    /// The engine that executed the nodes: `exact`, `kvm`, or `exact and kvm`.
    pub engine: String,
    /// What the engine could not keep from the guests on this host, so that the run depends on more than
    /// its inputs. Empty on the exact engine.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub caveats: Vec<String>,
    /// The blake3 hashes of the kernels, guests and disks, by name.
    pub artifacts: BTreeMap<String, String>,
    /// How many timelines were run.
    pub timelines: u64,
    /// The virtual time of all timelines together, in nanoseconds.
    pub virtual_time_ns: u64,
    /// The instructions that all nodes retired in all timelines.
    pub instructions: u64,
    /// The last link of the state-hash chain, if one was taken.
    pub state_hash: Option<String>,
    /// When it ran and how long it took, on the host's clock.
    pub wall: WallClock,
    /// The command that runs this again.
    pub command: String,
}

/// Host time; the only part of a report that differs between two runs of the same inputs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WallClock {
    /// The start, in milliseconds since 1970-01-01 UTC; 0 if it is not known.
    pub started_unix_ms: u64,
    /// The duration in nanoseconds.
    pub duration_ns: u64,
}

/// One judged property.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Property {
    /// Its name, the same in every run.
    pub name: String,
    /// What it asks for.
    pub kind: PropertyKind,
    /// Who declared it.
    pub origin: Origin,
    /// What was decided.
    pub verdict: Verdict,
    /// Why it was decided so, in one line that can be understood alone.
    pub reason: String,
    /// Where the scenario declares it.
    pub declared_at: Option<FileLocation>,
    /// Where the guest's source declares it.
    pub guest_location: Option<FileLocation>,
    /// When it was decided: the first violation, or what made it hold.
    pub moment: Option<Moment>,
    /// What was seen at that moment.
    pub evidence: Vec<Evidence>,
    /// How often it was looked at.
    pub counts: Counts,
}

impl Property {
    /// Starts a property with nothing known but its verdict.
    pub fn new(name: impl Into<String>, kind: PropertyKind, verdict: Verdict) -> Self {
        let origin = if PropertyKind::BUILT_IN.contains(&kind) {
            Origin::BuiltIn
        } else {
            Origin::Scenario
        };
        Self {
            name: name.into(),
            kind,
            origin,
            verdict,
            reason: String::new(),
            declared_at: None,
            guest_location: None,
            moment: None,
            evidence: Vec::new(),
            counts: Counts::default(),
        }
    }
}

/// What a property asks for.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum PropertyKind {
    /// True at each evaluation.
    Always,
    /// True at each evaluation, of which there may be none.
    AlwaysOrUnreachable,
    /// True at one evaluation at least.
    Sometimes,
    /// Reached at least once.
    Reachable,
    /// Never reached.
    Unreachable,
    /// Never seen, as a console pattern.
    Never,
    /// Seen or true within a time.
    Eventually,
    /// A process or node ended as it should.
    ExitCode,
    /// The system makes progress again after the faults.
    Liveness,
    /// All nodes end with the same value.
    Convergence,
    /// At most one holder at a time.
    Uniqueness,
    /// A value never goes back.
    Monotonicity,
    /// The history is linearizable.
    Linearizable,
    /// The history of appends is consistent.
    AppendList,
    /// Built in: no node's kernel or process panicked.
    NoPanic,
    /// Built in: no node stopped making progress.
    NoHang,
    /// Built in: the same inputs gave the same state hashes.
    ReplayIsIdentical,
}

impl PropertyKind {
    /// The properties that every run has.
    pub const BUILT_IN: [Self; 3] = [Self::NoPanic, Self::NoHang, Self::ReplayIsIdentical];

    /// The name of the kind, as in JSON; also the name of a built-in property.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Always => "always",
            Self::AlwaysOrUnreachable => "always-or-unreachable",
            Self::Sometimes => "sometimes",
            Self::Reachable => "reachable",
            Self::Unreachable => "unreachable",
            Self::Never => "never",
            Self::Eventually => "eventually",
            Self::ExitCode => "exit-code",
            Self::Liveness => "liveness",
            Self::Convergence => "convergence",
            Self::Uniqueness => "uniqueness",
            Self::Monotonicity => "monotonicity",
            Self::Linearizable => "linearizable",
            Self::AppendList => "append-list",
            Self::NoPanic => "no-panic",
            Self::NoHang => "no-hang",
            Self::ReplayIsIdentical => "replay-is-identical",
        }
    }
}

/// Who declared a property.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// The scenario's `properties`.
    Scenario,
    /// An assertion in the guest's source.
    Sdk,
    /// chaosrun itself.
    BuiltIn,
}

/// A property that was declared and not judged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SkippedProperty {
    /// Its name.
    pub name: String,
    /// What it asks for.
    pub kind: PropertyKind,
    /// Why it was not judged.
    pub reason: String,
}

/// A place in a text file. Lines and columns start at 1; a column counts characters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileLocation {
    /// The file, with `/` between its parts.
    pub file: String,
    /// The line.
    pub line: u32,
    /// The column, if it is known.
    pub column: Option<u32>,
    /// The function around it, if it is known.
    pub function: Option<String>,
}

impl FileLocation {
    /// A line of a file.
    pub fn new(file: impl Into<String>, line: u32) -> Self {
        Self {
            file: file.into(),
            line,
            column: None,
            function: None,
        }
    }
}

impl std::fmt::Display for FileLocation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// A moment of a timeline.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Moment {
    /// Virtual time in nanoseconds.
    pub vtime_ns: u64,
    /// The node it is about, unless it is about the whole world.
    pub node: Option<String>,
}

impl Moment {
    /// A moment of a node.
    pub fn on(node: impl Into<String>, vtime_ns: u64) -> Self {
        Self {
            vtime_ns,
            node: Some(node.into()),
        }
    }

    /// A moment of the world.
    pub const fn at(vtime_ns: u64) -> Self {
        Self {
            vtime_ns,
            node: None,
        }
    }
}

/// Something that was seen, with a word for what it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Evidence {
    /// What it is, as in `expected`, `details`, `console`.
    pub label: String,
    /// What was seen; several lines are fine.
    pub text: String,
    /// The part of a history that the text shows, where it shows one that no order explains.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<HistoryPart>,
}

impl Evidence {
    /// Evidence under a label.
    pub fn new(label: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            label: label.into(),
            text: text.into(),
            part: None,
        }
    }
}

/// How often a property was looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Counts {
    /// Evaluations that held.
    pub passed: u64,
    /// Evaluations that did not hold.
    pub failed: u64,
}

impl Counts {
    /// All evaluations.
    pub const fn evaluated(&self) -> u64 {
        self.passed.saturating_add(self.failed)
    }
}

/// Something that kept chaosrun from doing its work; never the fault of the system under test.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ToolError {
    /// Whose fault it is.
    pub cause: ErrorCause,
    /// The stable code, as in `chaosrun::host::no_memory`.
    pub code: String,
    /// What happened.
    pub message: String,
    /// What to do.
    pub help: Option<String>,
}

/// Whose fault an error is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCause {
    /// The host lacks what the plan needs.
    Host,
    /// The run was stopped before its end, by Ctrl-C or by a limit.
    Interrupted,
    /// A defect or a limit of chaosrun.
    Internal,
}
