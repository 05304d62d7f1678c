//! Every kind of mistake has a fixture, in both languages where both can make it, and snapshots of
//! its message in three renderings.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use chaosrun_language::plan::artifacts::{Artifacts, NamesOnly, Package, Problem};
use chaosrun_language::plan::compile;
use chaosrun_language::plan::model::Artifact;
use chaosrun_language::scenario::codes;
use chaosrun_language::scenario::diag::{Diag, Rendering, render};
use chaosrun_language::scenario::source::{Language, Sources};
use chaosrun_language::scenario::{load, load_text};

/// No files, but a guest whose assertions are known.
struct WithCatalogue;

impl Artifacts for WithCatalogue {
    fn kernel(&self, name: &str) -> Result<Artifact, Problem> {
        NamesOnly.kernel(name)
    }
    fn file(&self, path: &Path) -> Result<Artifact, Problem> {
        NamesOnly.file(path)
    }
    fn tree(&self, path: &Path) -> Result<Artifact, Problem> {
        NamesOnly.tree(path)
    }
    fn package(&self, path: &Path) -> Result<Package, Problem> {
        NamesOnly.package(path)
    }
    fn packages(&self, names: &[String]) -> Result<Artifact, Problem> {
        NamesOnly.packages(names)
    }
    fn assertions(&self, package: &Path) -> Option<Vec<String>> {
        package
            .ends_with("with-catalogue")
            .then(|| vec!["election safety".into(), "log matching".into()])
    }
}

/// What is at a path, as the program says it.
struct OnDisk;

fn missing() -> Problem {
    Problem::Missing("there is nothing at this path".into())
}

impl Artifacts for OnDisk {
    fn kernel(&self, name: &str) -> Result<Artifact, Problem> {
        NamesOnly.kernel(name)
    }
    fn file(&self, path: &Path) -> Result<Artifact, Problem> {
        match std::fs::metadata(path) {
            Err(_) => Err(missing()),
            Ok(meta) if !meta.is_file() => Err(Problem::Wrong("it is not a file".into())),
            Ok(_) => NamesOnly.file(path),
        }
    }
    fn tree(&self, path: &Path) -> Result<Artifact, Problem> {
        NamesOnly.tree(path)
    }
    fn package(&self, path: &Path) -> Result<Package, Problem> {
        if !path.exists() {
            return Err(missing());
        }
        let why = "its Cargo.toml can't be read: there is nothing at this path";
        Err(Problem::Wrong(why.into()))
    }
    fn packages(&self, names: &[String]) -> Result<Artifact, Problem> {
        NamesOnly.packages(names)
    }
}

fn fixtures() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/diag");
    let mut all: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    all.sort();
    all
}

/// What is wrong with a fixture. Its name is shown without the folder, which differs by machine.
fn diagnose(path: &Path) -> (Sources, Vec<Diag>) {
    let language = Language::of_path(path).unwrap();
    let name = path.file_name().unwrap().to_str().unwrap();
    let text = std::fs::read_to_string(path).unwrap();
    let mut loaded = load_text(&text, language, name, path.parent().unwrap());
    let wants_files = name.starts_with("missing_file") || name.starts_with("bad_file");
    let files: &dyn Artifacts = if wants_files { &OnDisk } else { &WithCatalogue };
    for scenario in &loaded.scenarios {
        let _ = compile(scenario, &loaded.sources, files, &mut loaded.diags);
    }
    (loaded.sources, loaded.diags.into_sorted())
}

#[test]
fn every_fixture_shows_its_mistake() {
    for path in fixtures() {
        let wanted = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let (_, diags) = diagnose(&path);
        let found: BTreeSet<_> = diags
            .iter()
            .map(|d| d.code.id.rsplit("::").next().unwrap())
            .collect();
        assert!(
            found.contains(wanted.as_str()),
            "{}: {found:?}",
            path.display()
        );
    }
}

#[test]
fn every_message_has_a_place_and_says_what_to_do() {
    for path in fixtures() {
        let (_, diags) = diagnose(&path);
        for diag in diags {
            let about = format!("{}: {}", path.display(), diag.message);
            assert!(diag.span().is_some(), "{about}");
            let help = diag.help.as_deref().unwrap_or_default();
            assert!(
                !help.is_empty() || diag.code.id.ends_with("_syntax"),
                "{about} has no help"
            );
            assert!(
                !diag.message.ends_with('.') && !diag.message.starts_with(char::is_uppercase),
                "{about}"
            );
        }
    }
}

#[test]
fn messages_look_as_they_did() {
    for path in fixtures() {
        let name = path
            .file_name()
            .unwrap()
            .to_str()
            .unwrap()
            .replace('.', "_");
        let (sources, diags) = diagnose(&path);
        let mut shown = String::new();
        for (title, rendering) in [
            (
                "graphical",
                Rendering::Graphical {
                    color: false,
                    width: 100,
                },
            ),
            ("narrated", Rendering::Narrated),
            ("json", Rendering::Json),
            ("github", Rendering::Github),
        ] {
            let _ = writeln!(
                shown,
                "--- {title}\n{}",
                render(&sources, &diags, rendering)
            );
        }
        insta::with_settings!({
            omit_expression => true,
            prepend_module_to_snapshot => false,
            snapshot_path => "../diag_snapshots",
        }, {
            insta::assert_snapshot!(name, shown);
        });
    }
}

#[test]
fn every_code_has_a_fixture() {
    // These are about files, which `bad_input` makes.
    let elsewhere = [
        "unreadable",
        "unknown_language",
        "not_utf8",
        "nul_byte",
        "too_large",
        "too_many_includes",
    ];
    let named: BTreeSet<String> = fixtures()
        .iter()
        .map(|p| p.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    for code in codes::ALL {
        let last = code.id.rsplit("::").next().unwrap();
        assert!(
            named.contains(last) || elsewhere.contains(&last),
            "{last} has no fixture"
        );
    }
}

#[test]
fn several_mistakes_are_told_in_one_pass() {
    let text = "scenario \"t\" schema=1 {\n node \"n1\" { memroy \"1MiB\" }\n run duration=5\n \
        faults { at \"1s\" { kill \"n2\" } }\n b true\n}\n";
    let mut loaded = load_text(text, Language::Kdl, "t.kdl", Path::new(""));
    let _ = compile(
        &loaded.scenarios[0],
        &loaded.sources,
        &NamesOnly,
        &mut loaded.diags,
    );
    let found: Vec<_> = loaded
        .diags
        .into_sorted()
        .into_iter()
        .map(|d| d.code.id)
        .collect();
    for code in [
        codes::UNKNOWN_KEY,
        codes::WRONG_TYPE,
        codes::UNDEFINED_NAME,
        codes::KDL_BARE_KEYWORD,
    ] {
        assert!(found.contains(&code.id), "{} in {found:?}", code.id);
    }
}

#[test]
fn the_other_half_of_a_mistake_can_be_in_another_file() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("base.toml"), "schema = 1\n[node.n1]\n").unwrap();
    std::fs::write(
        folder.path().join("main.kdl"),
        "scenario \"t\" schema=1 {\n    include \"base.toml\"\n    node \"n\" replicas=1\n}\n",
    )
    .unwrap();
    let mut loaded = load(&folder.path().join("main.kdl"));
    let _ = compile(
        &loaded.scenarios[0],
        &loaded.sources,
        &NamesOnly,
        &mut loaded.diags,
    );
    let diags = loaded.diags.into_sorted();
    let shown = render(
        &loaded.sources,
        &diags,
        Rendering::Graphical {
            color: false,
            width: 100,
        },
    );
    assert!(
        shown.contains("there are two nodes `n1`")
            && shown.contains("main.kdl")
            && shown.contains("base.toml"),
        "{shown}"
    );
}
