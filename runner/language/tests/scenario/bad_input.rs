//! Whatever a path leads to, there is a diagnostic, soon and in little memory.

use std::path::Path;
use std::time::Duration;

use chaosrun_language::scenario::codes::{self, Code};
use chaosrun_language::scenario::fuzz::{fuzz_kdl, fuzz_toml};
use chaosrun_language::scenario::source::Language;
use chaosrun_language::scenario::{load, load_text};

/// How much of a processor's time any single bad file may take, also in a debug build.
const BOUND: Duration = Duration::from_secs(20);

fn timed<T>(what: &str, f: impl FnOnce() -> T) -> T {
    let start = processor_time();
    let out = f();
    let took = processor_time() - start;
    assert!(took < BOUND, "{what} took {took:?}");
    out
}

/// How long this thread has been on a processor, which what else the host does has no effect on. Counted in
/// hundredths of a second, whatever the kernel's configuration (`utime` and `stime` of proc_pid_stat(5)).
fn processor_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/stat").expect("there is /proc");
    // The name of the thread, in parentheses, may have blanks.
    let (_, numbers) = stat.rsplit_once(')').expect("it has a name");
    let times = numbers.split_whitespace().skip(11).take(2);
    let ticks: u64 = times
        .map(|ticks| ticks.parse::<u64>().expect("a number"))
        .sum();
    Duration::from_millis(10 * ticks)
}

fn code_of(path: &Path) -> &'static str {
    let loaded = timed(&path.display().to_string(), || load(path));
    let diags = loaded.diags.into_sorted();
    diags
        .first()
        .unwrap_or_else(|| panic!("{} is accepted", path.display()))
        .code
        .id
}

fn code_of_text(text: &str, language: Language) -> Vec<&'static str> {
    let name = if language == Language::Kdl {
        "t.kdl"
    } else {
        "t.toml"
    };
    let loaded = timed(&text[..text.len().min(40)], || {
        load_text(text, language, name, Path::new(""))
    });
    loaded
        .diags
        .into_sorted()
        .into_iter()
        .map(|d| d.code.id)
        .collect()
}

fn expect(path: &Path, code: &Code) {
    assert_eq!(code_of(path), code.id, "{}", path.display());
}

#[test]
fn files_that_are_no_scenarios_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    for extension in ["kdl", "toml"] {
        let file = |name: &str| at(&format!("{name}.{extension}"));
        expect(&file("missing"), codes::UNREADABLE);
        std::fs::write(file("nul"), "scenario \"a\"\0").unwrap();
        expect(&file("nul"), codes::NUL_BYTE);
        std::fs::write(file("latin1"), b"// caf\xe9\n").unwrap();
        expect(&file("latin1"), codes::NOT_UTF8);
        std::fs::create_dir(file("folder")).unwrap();
        expect(&file("folder"), codes::UNREADABLE);
        std::os::unix::fs::symlink(file("loop"), file("loop2")).unwrap();
        std::os::unix::fs::symlink(file("loop2"), file("loop")).unwrap();
        expect(&file("loop"), codes::UNREADABLE);
        let huge = std::fs::File::create(file("huge")).unwrap();
        huge.set_len(100 << 20).unwrap();
        expect(&file("huge"), codes::TOO_LARGE);
        std::fs::write(file("empty"), "").unwrap();
        assert!(code_of(&file("empty")).starts_with("chaosrun::scenario::"));
    }
    std::fs::write(at("a.yaml"), "").unwrap();
    expect(&at("a.yaml"), codes::UNKNOWN_LANGUAGE);
    expect(Path::new("/dev/zero"), codes::UNKNOWN_LANGUAGE);
    std::os::unix::fs::symlink("/dev/zero", at("zero.kdl")).unwrap();
    expect(&at("zero.kdl"), codes::UNREADABLE);
}

#[test]
fn nesting_of_any_depth_is_refused() {
    for n in [100, 10_000, 200_000] {
        assert!(code_of_text(&"a {".repeat(n), Language::Kdl).contains(&codes::TOO_DEEP.id));
        assert!(code_of_text(&"a {\n".repeat(n), Language::Kdl).contains(&codes::TOO_DEEP.id));
        let _ = code_of_text(&"/-a {".repeat(n), Language::Kdl);
        let _ = code_of_text(&"/*".repeat(n), Language::Kdl);
        let _ = code_of_text(&"}".repeat(n.min(10_000)), Language::Kdl);
        let _ = code_of_text(&"(".repeat(n), Language::Kdl);
        assert!(
            code_of_text(&format!("a = {}", "[".repeat(n)), Language::Toml)
                .contains(&codes::TOO_DEEP.id)
        );
        assert!(
            code_of_text(&format!("a = {}", "{a=".repeat(n)), Language::Toml)
                .contains(&codes::TOO_DEEP.id)
        );
        assert!(
            code_of_text(&format!("[{}a]", "a.".repeat(n)), Language::Toml)
                .contains(&codes::TOO_DEEP.id)
        );
    }
}

#[test]
fn large_files_of_mistakes_end_in_bounded_time() {
    for language in [Language::Kdl, Language::Toml] {
        for piece in [
            "x ",
            "= \n",
            "\"",
            "a=1\n",
            "[a]\n",
            "\\",
            "é\u{2028}",
            "/-",
            "#\"",
            "\"\"\"\n",
            "'''",
            "a b=1 {}\n",
            "[[a]]\n",
            ".",
        ] {
            let text = piece.repeat((1 << 18) / piece.len());
            assert!(!code_of_text(&text, language).is_empty(), "{piece:?}");
        }
    }
}

#[test]
fn includes_in_circles_and_chains_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, include: &str| {
        std::fs::write(
            folder.path().join(name),
            format!("scenario \"s\" schema=1 {{ {include}\n node \"n1\"\n}}\n"),
        )
        .unwrap()
    };
    write("a.kdl", "include \"b.kdl\"");
    write("b.kdl", "include \"./a.kdl\"");
    expect(&folder.path().join("a.kdl"), codes::INCLUDE_CYCLE);
    for n in 0..40 {
        write(
            &format!("chain{n}.kdl"),
            &format!("include \"chain{}.kdl\"", n + 1),
        );
    }
    expect(&folder.path().join("chain0.kdl"), codes::TOO_MANY_INCLUDES);
    write("missing.kdl", "include \"nowhere.toml\"");
    expect(&folder.path().join("missing.kdl"), codes::UNREADABLE);
    // A file that is included twice counts once, and is no circle.
    write("base.kdl", "faults { at \"1s\" { kill \"n1\" } }");
    write("left.kdl", "include \"base.kdl\"");
    write("right.kdl", "include \"base.kdl\"");
    write(
        "diamond.kdl",
        "include \"left.kdl\"\n include \"right.kdl\"",
    );
    let loaded = load(&folder.path().join("diamond.kdl"));
    assert!(loaded.diags.is_empty());
    assert_eq!(
        loaded.scenarios[0]
            .body
            .block("faults")
            .unwrap()
            .blocks("at")
            .count(),
        1
    );
}

#[test]
fn the_seed_corpus_and_its_mutations_do_no_harm() {
    let folders = ["tests/diag", "../../scenarios", "tests/reference"];
    let mut corpus: Vec<Vec<u8>> = Vec::new();
    for folder in folders {
        for entry in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)).unwrap()
        {
            let path = entry.unwrap().path();
            if path.is_file() {
                corpus.push(std::fs::read(path).unwrap());
            }
        }
    }
    assert!(corpus.len() > 80);
    let mut state = 1u64;
    let mut next = |n: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap() % n.max(1)
    };
    for seed in &corpus {
        fuzz_kdl(seed);
        fuzz_toml(seed);
        for _ in 0..6 {
            let mut bytes = seed.clone();
            for _ in 0..=next(4) {
                let at = next(bytes.len());
                match next(4) {
                    0 => bytes.truncate(at),
                    1 => bytes.insert(at.min(bytes.len()), b"{}[]\"\\#=/*-\n;. "[next(15)]),
                    2 if !bytes.is_empty() => drop(bytes.remove(at)),
                    _ => {
                        let other = &corpus[next(corpus.len())];
                        let from = next(other.len());
                        bytes.splice(
                            at..at,
                            other[from..(from + next(60)).min(other.len())]
                                .iter()
                                .copied(),
                        );
                    }
                }
            }
            fuzz_kdl(&bytes);
            fuzz_toml(&bytes);
        }
    }
}
