//! Programs that are not Rust, and some that speak the protocol badly.

use std::process::Command;

use super::*;
use chaosrun_protocol::Value;

fn run(command: &mut Command) {
    let output = command.output().expect("a C compiler is needed");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {errors}");
}

/// The static library for C, built as its users build it.
fn library() -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT
        .get_or_init(|| {
            let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("sdk-c");
            run(Command::new(env!("CARGO"))
                .args([
                    "build",
                    "--release",
                    "--package",
                    "chaosrun-sdk-c",
                    "--target-dir",
                ])
                .arg(&target)
                .current_dir(PROJECT));
            target.join("release/libchaosrun_sdk_c.a")
        })
        .clone()
}

/// A static program of sources that are named from the project's folder.
fn compile(sources: &[&str]) -> Vec<u8> {
    let directory = tempfile::tempdir().unwrap();
    let program = directory.path().join("program");
    run(Command::new("cc")
        .args(["-static", "-O1", "-Isdk/include"])
        .args(sources)
        .arg(library())
        .args(["-lpthread", "-ldl", "-lm", "-o"])
        .arg(&program)
        .current_dir(PROJECT));
    std::fs::read(program).unwrap()
}

#[test]
fn program_in_c_is_heard() {
    let program = compile(&["sdk/c/tests/program.c", "sdk/c/tests/other.c"]);
    let c = Workload {
        user: Some((1000, 1000)),
        ..workload("c", "c", &[])
    };
    let mut node = Node::boot(&[("c", &program)], vec![c], 1);
    node.await_end();
    let published: Vec<(&str, &Value)> = node
        .told
        .iter()
        .filter_map(|(_, told)| match &told.message {
            Message::Publish { key, value } => Some((key.as_str(), value)),
            _ => None,
        })
        .collect();
    let expected = [
        ("c-int", &Value::Int(-3)),
        ("c-uint", &Value::Uint(u64::MAX)),
        ("c-text", &Value::Text("x\u{fffd}".into())),
    ];
    assert_eq!(published, expected);
    let failures = node.told.iter().filter(|(_, told)| {
        matches!(&told.message, Message::Assert(assert)
            if assert.site.message == "c: holds ten times" && !assert.condition)
    });
    assert_eq!(failures.count(), 8);
    assert_eq!(node.console.trim_end(), "2");
}

#[test]
fn bad_calls_are_refused_and_harm_nobody() {
    let program = compile(&["guests/software/sdk_misuse.c"]);
    let misuse = Workload {
        user: Some((1000, 1000)),
        ..workload("misuse", "misuse", &[])
    };
    let mut node = Node::boot(&[("misuse", &program)], vec![misuse], 1);
    node.await_end();
    let expected = [
        "hello: status 1, reply 1",
        "wrong magic: status 2",
        "wrong version: status 2",
        "unknown operation: status 2",
        "too long: status 2",
        "long name: status 2",
        "misaligned: status 0",
        "not there: goes on",
        "kernel memory: goes on",
        "after all: status 1, reply 1",
    ];
    let said: Vec<&str> = node.console.lines().map(str::trim_end).collect();
    assert_eq!(said, expected);
    assert!(node.refused.len() >= 6, "{:?}", node.refused);
}

/// Bytes that are no message pass through the machine; whoever decodes them says that they are none.
#[test]
fn garbage_in_messages_is_told_apart() {
    let program = compile(&["guests/software/sdk_misuse.c"]);
    let args = &["garbage"];
    let config = NodeConfig {
        workloads: vec![workload("misuse", "misuse", args)],
        ..NodeConfig::default()
    };
    let mut node = Node::with(&archive(&[("misuse", &program)], &config), |_| ());
    let until = VirtTime(5 * SECOND);
    node.machine.run_until(until).expect("the engine works");
    let payloads: Vec<Vec<u8>> = node
        .machine
        .take_outputs()
        .into_iter()
        .filter_map(|output| match output.kind {
            OutputKind::Event(MachineEvent::Sdk(bytes)) => Some(bytes),
            _ => None,
        })
        .collect();
    let garbage: Vec<&Vec<u8>> = payloads
        .iter()
        .filter(|bytes| Envelope::decode(bytes).is_err())
        .collect();
    assert_eq!(garbage.len(), 3, "{payloads:?}");
    assert_eq!(garbage[0].len(), 0);
    assert_eq!(garbage[1], b"garbage");
    assert_eq!(garbage[2].len(), 65_536);
}
