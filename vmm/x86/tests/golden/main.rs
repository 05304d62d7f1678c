//! Golden chains: what a handful of guests come to, step by step, is the same on every make of processor,
//! interpreted and compiled.
//!
//! Other tests compare the emulated CPU with itself or with the host's. These compare hosts with each other:
//! the chains were written on one of them, and `chains.txt` is checked in. Each link is a hash of the
//! architectural state, which is the registers and the RAM, every [`chain::STEP`] instructions. The state of
//! caches is not in there: a larger TLB changes no link.
//!
//! `CHAOSRUN_WRITE_GOLDEN=1` has the file written anew instead of compared; `just golden` does that. It is
//! right only if the guests changed on purpose, or what an instruction does.
//!
//! ```text
//! CHAOSRUN_WRITE_GOLDEN=1 cargo test -p chaosrun-x86 --release --test golden
//! ```

mod chain;
#[path = "../system/generator.rs"]
#[allow(dead_code, reason = "the guests choose their instructions themselves")]
mod generator;
mod guests;
#[path = "../system/harness/mod.rs"]
#[allow(
    dead_code,
    unused_imports,
    reason = "the harness has more than these guests need"
)]
mod harness;
#[path = "../system/modes.rs"]
#[allow(dead_code, reason = "only the loop is needed")]
mod modes;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use chain::{Link, STEP};
use guests::GUESTS;

/// After how many executions code is compiled; 0 for never.
const COMPILE_AFTER: [u8; 3] = [0, 1, 24];

/// The chains, by the names of their guests.
type Chains = BTreeMap<String, Vec<String>>;

fn file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/chains.txt")
}

/// A line for each guest, and one for each link of its chain.
fn written(chains: &Chains) -> String {
    let mut text = String::new();
    for (name, links) in chains {
        writeln!(text, "{name}").unwrap();
        for link in links {
            writeln!(text, "  {link}").unwrap();
        }
    }
    text
}

fn read(text: &str) -> Chains {
    let mut chains = Chains::new();
    let mut links: Option<&mut Vec<String>> = None;
    for line in text.lines() {
        match (line.strip_prefix("  "), &mut links) {
            (Some(link), Some(links)) => links.push(link.to_owned()),
            (Some(_), None) => panic!("{}: a link in front of a name", file().display()),
            (None, _) => links = Some(chains.entry(line.to_owned()).or_default()),
        }
    }
    chains
}

/// The first link that differs, in words.
fn difference(name: &str, golden: &[String], links: &[Link]) -> Option<String> {
    let same = golden.iter().zip(links);
    let same = same.take_while(|(golden, link)| **golden == link.to_string());
    let position = same.count();
    let Some(link) = links.get(position) else {
        let more = golden.len() > links.len();
        return more.then(|| format!("{name}: it ends after {} links", links.len()));
    };
    let place = if link.retired == 0 {
        "at its start: the guest itself is another one".to_owned()
    } else {
        let from = link.retired.saturating_sub(STEP);
        format!("behind instruction {from} and before {}", link.retired)
    };
    let (program, found) = (link.program, golden.get(position));
    let expected = found.map_or("the end", String::as_str);
    Some(format!(
        "{name}: link {position} is \"{link}\" instead of \"{expected}\": program {program} differs {place}"
    ))
}

#[test]
fn all_hosts_come_to_the_same() {
    let golden = read(&fs::read_to_string(file()).unwrap_or_default());
    let mut chains = Chains::new();
    let mut wrong = Vec::new();
    for (name, guest) in GUESTS {
        for after in COMPILE_AFTER {
            let links = chain::of(*guest, after);
            let texts = links.iter().map(Link::to_string).collect();
            // The interpreter's chain is the one that is written.
            let chain = chains.entry((*name).to_owned()).or_insert(texts);
            let expected = golden.get(*name).unwrap_or(chain);
            let how = match after {
                0 => format!("{name}, interpreted"),
                _ => format!("{name}, compiled after {after} executions"),
            };
            wrong.extend(difference(&how, expected, &links));
        }
    }
    if std::env::var_os("CHAOSRUN_WRITE_GOLDEN").is_some() {
        fs::write(file(), written(&chains)).unwrap();
        return;
    }
    let names = |chains: &Chains| chains.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&golden), names(&chains), "the guests of chains.txt");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_is_written_is_read() {
    let link = |n: u64| format!("0 {n} 00000000000000ff");
    let chains = Chains::from([
        ("a".to_owned(), vec![link(1), link(2)]),
        ("b".to_owned(), vec![link(3)]),
    ]);
    assert_eq!(read(&written(&chains)), chains);
}

#[test]
fn the_first_link_that_differs_is_named() {
    let links = [0, STEP, 2 * STEP].map(|retired| Link {
        program: 1,
        retired,
        hash: retired,
    });
    let mut golden: Vec<_> = links.iter().map(Link::to_string).collect();
    assert_eq!(difference("a", &golden, &links), None);
    let shorter = difference("a", &golden, &links[..2]).unwrap();
    assert!(shorter.contains("ends after 2 links"), "{shorter}");
    golden[1].push('0');
    let told = difference("a", &golden, &links).unwrap();
    assert!(told.contains("link 1"), "{told}");
    assert!(
        told.contains("behind instruction 0 and before 400"),
        "{told}"
    );
    golden[0].push('0');
    let told = difference("a", &golden, &links).unwrap();
    assert!(told.contains("the guest itself"), "{told}");
}
