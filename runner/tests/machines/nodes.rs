//! Nodes of plans, as chaosrun packs them, on whole machines.

use std::fs;
use std::path::Path;

use chaosrun::artifact::HostFiles;
use chaosrun::artifact::node_image::{NodeImage, node_images};
use chaosrun::artifact::{Progress, Store};
use chaosrun::plan::compile_all;
use chaosrun_vmm::machine::{Machine, MachineConfig, Stop};
use chaosrun_vmm::time::VirtTime;

use super::guest::{MILLI, SECOND};
use super::packages;

/// The images of the nodes of a scenario that stands in `folder`.
fn images(folder: &Path, body: &str) -> Vec<NodeImage> {
    let path = folder.join("scenario.kdl");
    let text = format!("scenario \"s\" schema=1 {{\n{body}\nrun duration=\"1s\"\n}}\n");
    fs::write(&path, text).unwrap();
    let mut loaded = chaosrun::scenario::load(&path);
    let plans = compile_all(&mut loaded, &HostFiles::default());
    let messages = loaded.diags.into_sorted();
    assert_eq!(plans.len(), 1, "{messages:?}");
    let store = Store::open(Progress::Silent).unwrap();
    node_images(&store, &plans[0].plan, &plans[0].origins).unwrap_or_else(|error| panic!("{error}"))
}

/// Boots a node until its console shows `text`, and returns all of it.
fn console_until(image: &NodeImage, text: &str) -> String {
    let config = MachineConfig {
        memory: 128 << 20,
        initrd: Some(&image.initrd),
        cmdline: image.cmdline.clone(),
        identity: image.identity.clone(),
        ..MachineConfig::new(&image.kernel)
    };
    let mut machine = Machine::new(&config).expect("the machine can be made");
    let mut console = String::new();
    while machine.now().0 < 60 * SECOND {
        let until = VirtTime(machine.now().0 + 10 * MILLI);
        let stop = machine.run_until(until).expect("the engine works");
        console += &String::from_utf8_lossy(&machine.take_console()).replace('\r', "");
        if console.contains(text) {
            return console;
        }
        assert_eq!(stop, Stop::Reached, "console:\n{console}");
    }
    panic!("no `{text}`; console:\n{console}");
}

/// A crate whose program shows where and with what it runs.
fn project() -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    let put = |path: &str, text: &str| {
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    put(
        "app/Cargo.toml",
        "[package]\nname = \"app\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[workspace]\n",
    );
    put(
        "app/src/main.rs",
        "fn main() {
             let read = |path| std::fs::read_to_string(path).unwrap_or_default();
             let arguments: Vec<String> = std::env::args().skip(1).collect();
             println!(\"host {}\", read(\"/proc/sys/kernel/hostname\").trim());
             println!(\"arguments {arguments:?} word {:?}\", std::env::var(\"WORD\"));
             println!(\"file {}\", read(\"/etc/app.conf\"));
             println!(\"hosts {:?}\", read(\"/etc/hosts\"));
             println!(\"that is all\");
         }",
    );
    root
}

fn a_node_runs_its_crate(kernel: &str) {
    let folder = project();
    let images = images(
        folder.path(),
        &format!(
            r#"kernel "{kernel}"
               guest "app" crate="app" {{ args "a" "b c" }}
               network "lan"
               node "n1" "n2" {{
                   guest "app"
                   network "lan"
                   env WORD="value"
                   file "/etc/app.conf" content="configured"
               }}"#
        ),
    );
    let console = console_until(&images[1], "that is all");
    for line in [
        "host n2",
        r#"arguments ["a", "b c"] word Ok("value")"#,
        "file configured",
    ] {
        assert!(console.contains(line), "no `{line}`; console:\n{console}");
    }
    let hosts = console
        .lines()
        .find(|line| line.contains("hosts \""))
        .unwrap_or_default();
    assert!(hosts.contains("n1") && hosts.contains("n2"), "{hosts}");
}

#[test]
fn a_node_with_debians_kernel_runs_its_crate() {
    a_node_runs_its_crate("debian");
}

#[test]
fn a_node_with_the_tiny_kernel_runs_its_crate() {
    a_node_runs_its_crate("tiny");
}

#[test]
fn hard_links_of_a_directory_are_hard_links_in_the_guest() {
    let folder = tempfile::tempdir().unwrap();
    let bin = folder.path().join("tree/usr/bin");
    fs::create_dir_all(&bin).unwrap();
    fs::copy(packages::busybox(), bin.join("busybox")).unwrap();
    // As copies, these would not fit into the node.
    let tools = (0..100).map(|number| format!("tool{number}"));
    for name in tools.chain(["sh".to_owned()]) {
        fs::hard_link(bin.join("busybox"), bin.join(name)).unwrap();
    }
    let etc = folder.path().join("tree/etc");
    fs::create_dir(&etc).unwrap();
    fs::write(etc.join("one"), "first\n").unwrap();
    fs::hard_link(etc.join("one"), etc.join("two")).unwrap();
    let images = images(
        folder.path(),
        r#"kernel "debian"
           guest "tree" directory="tree" {
               command "/usr/bin/sh" "-c" "b=/usr/bin/busybox; $b stat -c 'names %h' /usr/bin/tool7; echo second >> /etc/one; $b cat /etc/two; echo that is all"
           }
           node "n1" { guest "tree"; memory "128MiB" }"#,
    );
    let console = console_until(&images[0], "that is all");
    for text in ["names 102", "first\n", "second\n"] {
        assert!(console.contains(text), "no `{text}`; console:\n{console}");
    }
}
