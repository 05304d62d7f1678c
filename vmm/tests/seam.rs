//! The seam between engines and everything else: only vmm/src/engine knows which engines there are,
//! and others choose one by its name.

use std::fs;
use std::path::{Path, PathBuf};

/// Where source code is that must not know.
const FOLDERS: [&str; 4] = ["src", "../runner/src", "../sdk", "../guests"];

/// Names of an engine's own things. `EngineKind`, `EngineOptions` and `EngineError` are the seam's.
const OWN: [&str; 8] = [
    "kvm_ioctls",
    "kvm_bindings",
    "engine::exact",
    "engine::kvm",
    "exact::Exact",
    "kvm::Kvm",
    "chaosrun_x86::Cpu;",
    "/dev/kvm\"",
];

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && name != "target" {
            sources(&path, found);
        } else if name.ends_with(".rs") {
            found.push(path);
        }
    }
}

/// Whether a line uses the software CPU itself and not only its state.
fn uses_cpu(line: &str) -> bool {
    let Some(list) = line.trim().strip_prefix("use chaosrun_x86::") else {
        return false;
    };
    list.split(|byte: char| !byte.is_alphanumeric())
        .any(|word| word == "Cpu")
}

#[test]
fn no_file_outside_the_engine_folder_names_an_engine() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for folder in FOLDERS {
        sources(&root.join(folder), &mut files);
    }
    let engine = root.join("src/engine");
    assert!(files.iter().any(|file| file.starts_with(&engine)));
    let others = files.iter().filter(|file| !file.starts_with(&engine));
    let mut wrong = Vec::new();
    for file in others {
        for (number, line) in fs::read_to_string(file).unwrap().lines().enumerate() {
            if uses_cpu(line) || OWN.iter().any(|own| line.contains(own)) {
                wrong.push(format!("{}:{}: {line}", file.display(), number + 1));
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn the_search_finds_what_it_looks_for() {
    assert!(uses_cpu("use chaosrun_x86::{Activity, Cpu, CpuState};"));
    assert!(!uses_cpu("use chaosrun_x86::{CpuModel, CpuState};"));
}
