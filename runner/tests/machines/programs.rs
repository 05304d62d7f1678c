//! The programs of `guests/software`, made ready for a guest and for the host.
//!
//! The host shows what the right output is. Mathematical libraries choose other code paths on
//! processors with fused multiply-add and then round differently, so the host's run is told to do
//! without what the guest's processor does not have.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use chaosrun::artifact::initrd::Initrd;

use super::guest::busybox_root;
use super::packages;

/// For glibc: what x86-64-v2 lacks.
const GLIBC_AS_GUEST: &str = "glibc.cpu.hwcaps=-AVX,-AVX2,-FMA,-FMA4,-AVX512F";
/// For Go: the same.
const GO_AS_GUEST: &str = "cpu.avx=off,cpu.avx2=off,cpu.fma=off,cpu.bmi1=off,cpu.bmi2=off";

/// A program with the file system that it runs in and the host's way of running it.
pub struct Program {
    pub root: Initrd,
    host: Command,
}

impl Program {
    /// What it prints on the host.
    pub fn on_host(&mut self) -> String {
        self.host
            .env_clear()
            .env("PATH", "/nonexistent")
            .env("LC_ALL", "C")
            .env("GLIBC_TUNABLES", GLIBC_AS_GUEST)
            .env("GODEBUG", GO_AS_GUEST);
        packages::run(&mut self.host)
    }
}

/// busybox's shell with pipes, and dozens of its programs.
pub fn shell(scratch: &Path) -> Program {
    let script = source("shell.sh");
    let busybox = packages::busybox();
    let programs = scratch.join("bin");
    fs::create_dir(&programs).unwrap();
    for name in packages::run(Command::new(busybox).arg("--list")).lines() {
        symlink(busybox, programs.join(name)).unwrap();
    }
    let mut root = busybox_root("sh /shell.sh");
    root.file("shell.sh", 0o644, fs::read(&script).unwrap())
        .unwrap();
    // `env` sets the path because `on_host` clears it for everything else.
    let mut host = Command::new(busybox);
    host.arg("env").arg(format!("PATH={}", programs.display()));
    host.args(["sh".as_ref(), script.as_os_str()]);
    Program { root, host }
}

/// A static Rust program with threads and floats.
pub fn threads(scratch: &Path) -> Program {
    let executable = scratch.join("threads");
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    packages::run(
        Command::new(rustc)
            .args(["--edition=2024", "-O", "-Ctarget-feature=+crt-static", "-o"])
            .args([&executable, &source("threads.rs")]),
    );
    standalone(&executable)
}

/// A Go program, as Debian's unmodified compiler makes it.
pub fn concurrency(scratch: &Path) -> Program {
    let executable = scratch.join("concurrency");
    let (go, root) = packages::go();
    let mut command = Command::new(go);
    command
        .args(["build", "-trimpath", "-o"])
        .args([&executable, &source("concurrency.go")])
        .env("CGO_ENABLED", "0")
        .env("GOFLAGS", "")
        .env("GO111MODULE", "off")
        .env("GOPATH", scratch.join("path"))
        .env("GOCACHE", packages::cache().join("go-build"));
    if let Some(root) = root {
        command.env("GOROOT", root);
    }
    packages::run(&mut command);
    standalone(&executable)
}

/// Debian's CPython with extension modules and a script.
pub fn mixture() -> Program {
    let script = source("mixture.py");
    let (tree, name) = packages::python();
    let mut root = busybox_root(&format!("/usr/bin/{name} -B -S /mixture.py"));
    root.tree(&tree).unwrap();
    // Newer releases have these links in a package of their own.
    for link in ["lib", "lib64"] {
        if !tree.join(link).exists() {
            root.symlink(link, format!("usr/{link}")).unwrap();
        }
    }
    root.file("mixture.py", 0o644, fs::read(&script).unwrap())
        .unwrap();
    let libraries =
        ["lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu"].map(|part| tree.join(part));
    let loader = libraries
        .iter()
        .map(|directory| directory.join("ld-linux-x86-64.so.2"))
        .find(|path| path.is_file())
        .expect("libc6 has a dynamic linker");
    let mut host = Command::new(packages::busybox());
    host.arg("env")
        .arg(format!("PYTHONHOME={}", tree.join("usr").display()));
    host.arg(loader).arg("--library-path");
    host.arg(std::env::join_paths(&libraries).unwrap());
    host.arg(tree.join("usr/bin").join(name))
        .args(["-B", "-S"])
        .arg(script);
    Program { root, host }
}

fn standalone(executable: &Path) -> Program {
    let mut root = busybox_root("/program");
    root.file("program", 0o755, fs::read(executable).unwrap())
        .unwrap();
    Program {
        root,
        host: Command::new(executable),
    }
}

fn source(name: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("a workspace");
    root.join("guests/software").join(name)
}
