//! The program as its users and their scripts see it: what it prints where, and how it exits.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

mod bare;
mod kernels;
mod kvm;

/// A directory for a test, with a cache of its own.
struct World {
    directory: TempDir,
}

impl World {
    fn new() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Writes a program without an operating system and returns its name.
    fn guest(&self, parts: &[Vec<u8>]) -> &'static str {
        fs::write(self.path("guest"), bare::elf(&parts.concat())).unwrap();
        "./guest"
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_chaosrun"));
        command.args(args).current_dir(self.directory.path());
        command
            .env("XDG_CACHE_HOME", self.path("cache"))
            .env("NO_COLOR", "1");
        command
    }

    fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// What was printed on stderr, with the line breaks that fit it to a terminal undone.
fn stderr(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    text.replace('│', " ")
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
}

#[track_caller]
fn assert_exit(output: &Output, code: i32, said: &[&str]) {
    let text = stderr(output);
    assert_eq!(output.status.code(), Some(code), "{text}");
    for said in said {
        assert!(text.contains(said), "`{said}` is not in: {text}");
    }
}

#[test]
fn a_guest_that_powers_off_has_its_console_on_stdout_and_the_numbers_on_stderr() {
    let world = World::new();
    let guest = world.guest(&[bare::print("hello\n"), bare::power_off()]);
    let output = world.run(&["boot", guest]);
    assert_exit(
        &output,
        0,
        &["powered off", "instructions", "MIPS", "state hash"],
    );
    assert_eq!(stdout(&output), "hello\n");
}

#[test]
fn a_loop_with_interrupts_off_ends_when_the_time_is_up() {
    let world = World::new();
    let guest = world.guest(&[bare::spin()]);
    let output = world.run(&["boot", guest, "--for", "3ms"]);
    assert_exit(
        &output,
        0,
        &[
            "time is up",
            "virtual time 0.003000000 s",
            "3000000 instructions",
        ],
    );
}

#[test]
fn until_ends_the_run_and_its_absence_is_a_failure() {
    let world = World::new();
    let guest = world.guest(&[bare::print("ready\n"), bare::spin()]);
    let found = world.run(&["boot", guest, "--until", "ready", "--for", "50ms"]);
    assert_exit(&found, 0, &["the text was found"]);
    let missing = world.run(&["boot", guest, "--until", "steady", "--for", "50ms"]);
    assert_exit(&missing, 1, &["not_found", "`steady`", "the time is up"]);
}

#[test]
fn a_triple_fault_a_final_halt_and_a_destroyed_machine_are_failures_of_the_guest() {
    for (code, said) in [
        (bare::jump_into_nowhere(), "triple fault"),
        (bare::halt(), "halted"),
        (bare::write_everywhere(), "triple fault"),
    ] {
        let world = World::new();
        let guest = world.guest(&[code]);
        let output = world.run(&["boot", guest, "--for", "10s"]);
        assert_exit(&output, 1, &["guest_died", said]);
    }
}

#[test]
fn equal_runs_are_verified() {
    let world = World::new();
    let guest = world.guest(&[bare::print("x"), bare::spin()]);
    let output = world.run(&[
        "verify",
        guest,
        "-n",
        "3",
        "--for",
        "30ms",
        "--hash-every",
        "10ms",
    ]);
    assert_exit(&output, 0, &[]);
    let text = stdout(&output);
    assert!(text.contains("3 runs are identical"), "{text}");
    assert_eq!(text.matches("3 state hashes").count(), 3, "{text}");
}

#[test]
fn one_run_cannot_be_compared_with_itself() {
    let world = World::new();
    let guest = world.guest(&[bare::power_off()]);
    assert_exit(
        &world.run(&["verify", guest, "-n", "1"]),
        2,
        &["1 is not in"],
    );
}

#[test]
fn what_would_have_no_effect_on_what_is_verified_is_refused() {
    let world = World::new();
    let guest = world.guest(&[bare::power_off()]);
    let options = [
        ["--memory", "64MiB"],
        ["--vcpus", "2"],
        ["--for", "1s"],
        ["--engine", "exact"],
    ];
    for option in options {
        let output = world.run(&["verify", "raft.kdl", option[0], option[1]]);
        assert_exit(&output, 2, &[option[0], "is for a single machine"]);
    }
    let output = world.run(&["verify", "raft.toml", "initrd.img"]);
    assert_exit(&output, 2, &["[INITRD]", "is for a single machine"]);
    let output = world.run(&["verify", guest, "--jobs", "2"]);
    assert_exit(&output, 2, &["--jobs", "is for a scenario"]);
    // There is no such file, which is all that is wrong with this.
    let suited = ["--seed", "3", "-n", "2", "--jobs", "1", "--interpret"];
    let output = world.run(&[&["verify", "raft.kdl"], &suited[..]].concat());
    assert_exit(&output, 3, &["raft.kdl"]);
}

#[test]
fn logs_are_dumped_counted_and_compared() {
    let world = World::new();
    let boot = |letter: &str, log: &str| {
        let guest = world.guest(&[bare::print(letter), bare::power_off()]);
        assert_exit(&world.run(&["boot", guest, "--dlog", log]), 0, &[]);
    };
    boot("a", "a.dlog");
    boot("a", "again.dlog");
    boot("b", "b.dlog");

    let dump = stdout(&world.run(&["dlog", "dump", "a.dlog"]));
    assert!(dump.contains("0x3f8/1 <- 0x61"), "{dump}");
    let stats = stdout(&world.run(&["dlog", "stats", "a.dlog"]));
    assert!(stats.contains("console      1 bytes"), "{stats}");
    let equal = world.run(&["dlog", "diff", "a.dlog", "again.dlog"]);
    assert_eq!(
        (equal.status.code(), stdout(&equal).as_str()),
        (Some(0), "equal\n")
    );
    let differ = world.run(&["dlog", "diff", "a.dlog", "b.dlog"]);
    assert_eq!(differ.status.code(), Some(6));
    assert!(
        stdout(&differ).contains("0x3f8/1 <- 0x62"),
        "{}",
        stdout(&differ)
    );
}

#[test]
fn a_log_that_is_none_is_refused() {
    let world = World::new();
    fs::write(world.path("text"), "this is not a log").unwrap();
    for args in [["dlog", "dump", "text"], ["dlog", "stats", "missing"]] {
        assert_exit(&world.run(&args), 2, &["dlog::unreadable", args[2]]);
    }
}

#[test]
fn files_that_are_no_kernels_are_refused() {
    let world = World::new();
    let good = bare::elf(&bare::power_off());
    let mut bzimage = vec![0; 4096];
    bzimage[0x1fe..0x200].copy_from_slice(&[0x55, 0xaa]);
    bzimage[0x202..0x206].copy_from_slice(b"HdrS");
    for content in [&b""[..], b"text", &good[..63], &good[..100], &bzimage] {
        fs::write(world.path("kernel"), content).unwrap();
        let output = world.run(&["boot", "./kernel"]);
        assert_exit(&output, 2, &["chaosrun::boot::refused", "cannot be booted"]);
    }
}

#[test]
fn an_initrd_larger_than_ram_is_refused() {
    let world = World::new();
    let guest = world.guest(&[bare::power_off()]);
    fs::write(world.path("initrd"), vec![0; 64 << 20]).unwrap();
    let output = world.run(&["boot", guest, "initrd", "--memory", "32MiB"]);
    assert_exit(
        &output,
        2,
        &["the initrd has 67108864 bytes", "more memory"],
    );
}

#[test]
fn a_directory_serves_as_initrd_and_a_missing_one_is_named() {
    let world = World::new();
    let guest = world.guest(&[bare::power_off()]);
    fs::create_dir(world.path("root")).unwrap();
    fs::write(world.path("root/init"), "x").unwrap();
    assert_exit(&world.run(&["boot", guest, "root"]), 0, &["powered off"]);
    assert_exit(
        &world.run(&["boot", guest, "missing"]),
        2,
        &["boot::initrd", "`missing`"],
    );
}

#[test]
fn impossible_machines_are_refused() {
    let world = World::new();
    let guest = world.guest(&[bare::power_off()]);
    for (option, value) in [
        ("--vcpus", "0"),
        ("--vcpus", "9"),
        ("--memory", "0B"),
        ("--memory", "1B"),
        ("--memory", "17179869183GiB"),
        ("--memory", "256"),
        ("--for", "1.5h"),
        ("--interleave", "fair"),
    ] {
        let output = world.run(&["boot", guest, option, value]);
        assert_eq!(
            output.status.code(),
            Some(2),
            "{option} {value}: {}",
            stderr(&output)
        );
    }
}

#[test]
fn a_misspelt_kernel_is_answered_with_the_known_names() {
    let world = World::new();
    let output = world.run(&["boot", "debain"]);
    assert_exit(&output, 2, &["did you mean `debian`?", "tiny-kcov"]);
}

#[test]
fn the_cache_is_where_xdg_says_and_starts_empty() {
    let world = World::new();
    let output = world.run(&["artifact", "list", "--json"]);
    let rows: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(rows[0]["name"], "debian");
    assert!(rows[0]["path"].is_null());
    assert_eq!(
        stdout(&world.run(&["artifact", "clean"]))
            .matches("/cache/chaosrun")
            .count(),
        1
    );
}

#[test]
fn without_apt_the_host_is_told_to_lack_it() {
    let world = World::new();
    let output = world
        .command(&["boot", "debian"])
        .env("PATH", "/nowhere")
        .output()
        .unwrap();
    assert_exit(
        &output,
        69,
        &["artifact::no_apt", "apt-get", "path of a kernel"],
    );
}

#[test]
fn missing_build_tools_are_named_with_their_packages_in_one_message() {
    let world = World::new();
    let output = world
        .command(&["boot", "tiny"])
        .env("PATH", "/nowhere")
        .output()
        .unwrap();
    assert_exit(
        &output,
        69,
        &[
            "missing_tools",
            "`flex`",
            "`bc`",
            "apt-get install",
            "bison",
        ],
    );
}

#[test]
fn without_a_home_there_is_no_cache() {
    let world = World::new();
    let mut command = world.command(&["artifact", "list"]);
    let output = command
        .env_remove("XDG_CACHE_HOME")
        .env_remove("HOME")
        .output()
        .unwrap();
    assert_exit(&output, 69, &["XDG_CACHE_HOME"]);
}

#[test]
fn ctrl_c_ends_a_run_in_good_order() {
    let world = World::new();
    let guest = world.guest(&[bare::print("up\n"), bare::spin()]);
    let mut command = world.command(&["boot", guest]);
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    let killed = Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status()
        .unwrap();
    let mut said = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut said)
        .unwrap();

    assert_eq!(line, "up\n");
    assert!(killed.success());
    assert!(said.contains("interrupted; virtual time"), "{said}");
    assert_eq!(child.wait().unwrap().code(), Some(5));
}

#[test]
fn help_and_version_are_no_errors_and_no_arguments_are() {
    let world = World::new();
    let help = world.run(&["--help"]);
    assert_eq!(help.status.code(), Some(0));
    assert!(stdout(&help).contains("Exit codes:"));
    assert_eq!(world.run(&["--version"]).status.code(), Some(0));
    assert_eq!(world.run(&[]).status.code(), Some(2));
    assert_eq!(world.run(&["frobnicate"]).status.code(), Some(2));
}
