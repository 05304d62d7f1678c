//! Real software runs in guests and prints what it prints on the host.

use super::guest::{Setup, debian, pack, tiny};
use super::programs::{self, Program};

/// Runs `program` on the host and in guests with both kernels and with one and four vCPUs.
fn prints_the_same(mut program: Program) -> String {
    let expected = program.on_host();
    let initrd = pack(&program.root);
    for (name, kernel, vcpus) in [
        ("tiny", tiny(), 1),
        ("tiny", tiny(), 4),
        ("debian", debian(), 4),
    ] {
        let setup = Setup {
            vcpus,
            ..Setup::new(kernel, &initrd)
        };
        let outcome = setup.boot();
        assert_eq!(outcome.output(), expected, "{name} with {vcpus} vCPUs");
    }
    expected
}

fn scratch() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

#[test]
fn busybox_shell_with_pipes_hashes_known_data() {
    let scratch = scratch();
    let output = prints_the_same(programs::shell(scratch.path()));
    // The example of FIPS 180-2, appendix B.1.
    let known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad  -\n";
    assert!(output.starts_with(known), "{output}");
    assert!(output.ends_with("status 3\n"), "{output}");
}

#[test]
fn rust_threads_and_floats_compute_the_same_as_on_the_host() {
    let scratch = scratch();
    let output = prints_the_same(programs::threads(scratch.path()));
    assert!(output.contains("hand-overs 1000\n"), "{output}");
    assert!(output.contains("slept true true\n"), "{output}");
}

#[test]
fn unmodified_go_program_computes_the_same_as_on_the_host() {
    let scratch = scratch();
    let output = prints_the_same(programs::concurrency(scratch.path()));
    assert!(output.contains("all spinners stopped\n"), "{output}");
    assert!(
        output.contains("timers 5 true context deadline exceeded\n"),
        "{output}"
    );
}

#[test]
fn cpython_computes_the_same_as_on_the_host() {
    let output = prints_the_same(programs::mixture());
    assert!(output.contains("\nslept True\n"), "{output}");
    assert!(
        output.ends_with("cpython little 9223372036854775807\n"),
        "{output}"
    );
}
