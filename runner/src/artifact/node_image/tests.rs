//! Images of plans whose kernels are files, so that nothing has to be fetched.

use std::fs;
use std::path::Path;

use super::*;
use crate::artifact::HostFiles;
use crate::plan::kernel::KernelName;
use crate::plan::{Compiled, compile_all};

/// A folder with files that scenarios name.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let put = |path: &str, content: &[u8]| {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    };
    put("kernel", b"a kernel");
    put("drivers.cpio", b"drivers");
    put("whole.cpio", b"whole!");
    put("app", &static_program());
    put("image", &[7; 1024]);
    put("tree/usr/bin/server", b"#!/bin/sh\n");
    put("tree/init", b"not ours");
    put("app.toml", b"key = 1\n");
    folder
}

/// The smallest file that counts as a static executable.
fn static_program() -> Vec<u8> {
    let mut file = b"\x7fELF\x02\x01".to_vec();
    file.resize(64, 0);
    file[0x12] = 62;
    file
}

fn plan(folder: &Path, body: &str) -> Compiled {
    let path = folder.join("scenario.kdl");
    let text = format!(
        "scenario \"s\" schema=1 {{\nkernel path=\"kernel\"\n{body}\nrun duration=\"1s\"\n}}\n"
    );
    fs::write(&path, text).unwrap();
    let mut loaded = crate::scenario::load(&path);
    let plans = compile_all(&mut loaded, &HostFiles::default());
    let messages = loaded.diags.into_sorted();
    assert_eq!(plans.len(), 1, "{messages:?}");
    plans.into_iter().next().unwrap()
}

/// A store whose init need not be built.
fn images<'a>(store: &'a Store, compiled: &'a Compiled) -> Images<'a> {
    let mut images = Images::new(store, &compiled.plan, &compiled.origins);
    images.init = Some(b"init".as_slice().into());
    images
}

fn store() -> (tempfile::TempDir, Store) {
    let root = tempfile::tempdir().unwrap();
    let store = Store::at(root.path(), Vec::new());
    (root, store)
}

/// The entries of all archives in an initial RAM disk: paths with contents.
fn entries(mut archive: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut entries = Vec::new();
    while let Some(start) = archive.windows(6).position(|w| w == b"070701") {
        archive = &archive[start..];
        let field = |index: usize| {
            let digits = std::str::from_utf8(&archive[6 + index * 8..14 + index * 8]).unwrap();
            usize::from_str_radix(digits, 16).unwrap()
        };
        let (length, name_length) = (field(6), field(11));
        let name = String::from_utf8_lossy(&archive[110..110 + name_length - 1]).into_owned();
        let content = (110 + name_length).next_multiple_of(4);
        entries.push((name, archive[content..content + length].to_vec()));
        archive = &archive[content + length..];
    }
    entries
}

fn content<'a>(entries: &'a [(String, Vec<u8>)], path: &str) -> &'a [u8] {
    let found: Vec<_> = entries.iter().filter(|(name, _)| name == path).collect();
    assert_eq!(
        found.len(),
        1,
        "{path}: {:?}",
        entries.iter().map(|(n, _)| n).collect::<Vec<_>>()
    );
    &found[0].1
}

const CLUSTER: &str = r#"
    guest "app" binary="app" { args "-v"; restart "always"; file "/etc/app.toml" from="app.toml" }
    network "lan"
    network "backup"
    node "n1" "n2" {
        guest "app" { args "--more" }
        network "lan"
        network "backup"
        env A="b"
        cmdline "nokaslr quiet"
        disk "data" size="1MiB"
        disk "seed" base="image" size="4KiB"
    }"#;

/// What init is told.
fn identity(image: &NodeImage) -> chaosrun_protocol::node::NodeConfig {
    let text = image.identity.as_ref().expect("init asks who it is");
    chaosrun_protocol::node::NodeConfig::from_json(text).expect("it is understood")
}

#[test]
fn a_node_has_its_programs_files_and_configuration() {
    let (folder, (_root, store)) = (folder(), store());
    let compiled = plan(folder.path(), CLUSTER);
    let image = images(&store, &compiled)
        .node(&compiled.plan.nodes[1])
        .unwrap();

    assert_eq!(&*image.kernel, b"a kernel");
    assert_eq!(
        image.kernel_hash,
        blake3::hash(b"a kernel").to_hex().as_str()
    );
    assert!(
        image
            .cmdline
            .starts_with("console=ttyS0 panic=-1 virtio_net.napi_tx=0 loglevel="),
        "{}",
        image.cmdline
    );
    assert!(
        image.cmdline.ends_with(" nokaslr quiet"),
        "{}",
        image.cmdline
    );
    assert!(!image.cmdline.contains("psi="), "{}", image.cmdline);
    let mut debian = compiled.plan.nodes[1].clone();
    debian.kernel.name = KernelName::Debian;
    let line = config::cmdline(&debian);
    let words = " mitigations=off init_on_alloc=0 psi=0 nokaslr quiet";
    assert!(line.ends_with(words), "{line}");
    let entries = entries(&image.initrd);
    assert_eq!(content(&entries, "init"), b"init");
    assert_eq!(content(&entries, ".chaosrun/bin/app"), static_program());
    assert_eq!(content(&entries, "etc/app.toml"), b"key = 1\n");
    let config = identity(&image);
    assert_eq!(config.hostname, "n2");
    let hosts: Vec<&str> = config.hosts.iter().map(|h| h.name.as_str()).collect();
    assert_eq!(hosts, ["n1", "n1.backup", "n2", "n2.backup"]);
    assert_eq!(config.nics.len(), 2);
    assert_eq!(config.nics[0].mac, compiled.plan.nodes[1].nics[0].mac);
    let workload = &config.workloads[0];
    assert_eq!(workload.program, "/.chaosrun/bin/app");
    assert_eq!(workload.args, ["-v", "--more"]);
    assert_eq!(workload.env["A"], "b");
    assert_eq!(workload.restart, chaosrun_protocol::node::Restart::Always);
}

#[test]
fn disks_are_blank_or_share_their_image() {
    let (folder, (_root, store)) = (folder(), store());
    let compiled = plan(folder.path(), CLUSTER);
    let mut images = images(&store, &compiled);
    let first = images.node(&compiled.plan.nodes[0]).unwrap().disks;
    let second = images.node(&compiled.plan.nodes[1]).unwrap().disks;
    assert_eq!(first[0].content, DiskContent::Blank);
    assert_eq!(
        (first[0].name.as_str(), first[0].size_bytes),
        ("data", 1 << 20)
    );
    let (DiskContent::File(a), DiskContent::File(b)) = (&first[1].content, &second[1].content)
    else {
        panic!("{first:?} {second:?}");
    };
    let mut content = [0; 1025];
    chaosrun_vmm::disk::Content::read(&**a, 0, &mut content);
    assert_eq!(content[..1024], [7; 1024]);
    assert_eq!(content[1024], 0);
    assert!(Arc::ptr_eq(a, b));
}

#[test]
fn a_disks_base_may_be_larger_than_whatever_is_read_into_memory() {
    let (folder, (_root, store)) = (folder(), store());
    let file = fs::File::create(folder.path().join("huge")).unwrap();
    file.set_len(1 << 40).unwrap();
    let compiled = plan(
        folder.path(),
        r#"guest "app" binary="app"
           node "n1" { guest "app"; disk "data" base="huge"; disk "other" image="huge" size="2TiB" }"#,
    );
    let disks = &compiled.plan.nodes[0].disks;
    assert_eq!(disks[0].size_bytes, 1 << 40);
    assert_eq!(disks[1].size_bytes, 2 << 40);
    let image = images(&store, &compiled)
        .node(&compiled.plan.nodes[0])
        .unwrap();
    image.verify().unwrap();
    // It is not what was planned any more.
    file.set_len(1 << 39).unwrap();
    image.verify().unwrap_err();
    let changed = images(&store, &compiled).node(&compiled.plan.nodes[0]);
    assert!(
        matches!(changed, Err(ArtifactError::Changed { .. })),
        "{changed:?}"
    );
}

#[test]
fn the_same_plan_gives_the_same_bytes_in_another_folder() {
    let make = || {
        let (folder, (_root, store)) = (folder(), store());
        let compiled = plan(folder.path(), CLUSTER);
        images(&store, &compiled)
            .node(&compiled.plan.nodes[0])
            .unwrap()
    };
    assert_eq!(make(), make());
}

#[test]
fn a_tree_is_the_root_and_has_our_init() {
    let (folder, (_root, store)) = (folder(), store());
    let compiled = plan(
        folder.path(),
        r#"guest "db" directory="tree" { command "server" "--port" "1" }
           node "n1" { guest "db" { args "-x" } }"#,
    );
    let image = images(&store, &compiled)
        .node(&compiled.plan.nodes[0])
        .unwrap();
    let entries = entries(&image.initrd);
    assert_eq!(content(&entries, "init"), b"init");
    assert_eq!(content(&entries, "usr/bin/server"), b"#!/bin/sh\n");
    let config = identity(&image);
    assert_eq!(config.workloads[0].program, "/usr/bin/server");
    assert_eq!(config.workloads[0].args, ["--port", "1", "-x"]);
}

#[test]
fn a_whole_initrd_keeps_its_init_and_gets_programs_beside_it() {
    let (folder, (_root, store)) = (folder(), store());
    let compiled = plan(
        folder.path(),
        r#"guest "os" initrd="whole.cpio"
           guest "app" binary="app"
           node "n1" { guest "os"; guest "app" }"#,
    );
    let image = images(&store, &compiled)
        .node(&compiled.plan.nodes[0])
        .unwrap();
    assert!(image.initrd.starts_with(b"whole!\x00\x00070701"));
    let entries = entries(&image.initrd);
    assert!(entries.iter().all(|(name, _)| name != "init"));
    content(&entries, ".chaosrun/bin/app");
    content(&entries, ".chaosrun/node.json");
    assert_eq!(image.identity, None);
}

#[test]
fn the_initrd_of_a_kernel_comes_first() {
    let (folder, (_root, store)) = (folder(), store());
    let compiled = plan(
        folder.path(),
        r#"node "n1" { kernel path="kernel" initrd="drivers.cpio" }"#,
    );
    let image = images(&store, &compiled)
        .node(&compiled.plan.nodes[0])
        .unwrap();
    assert!(image.initrd.starts_with(b"drivers\x00070701"));
}

#[test]
fn what_changed_since_the_plan_is_refused() {
    let (folder, (_root, store)) = (folder(), store());
    let compiled = plan(folder.path(), CLUSTER);
    for file in ["kernel", "app", "app.toml", "image"] {
        let path = folder.path().join(file);
        let before = fs::read(&path).unwrap();
        fs::write(&path, "changed").unwrap();
        let error = images(&store, &compiled).node(&compiled.plan.nodes[0]);
        assert!(
            matches!(error, Err(ArtifactError::Changed { .. })),
            "{file}: {error:?}"
        );
        fs::write(&path, before).unwrap();
    }
    images(&store, &compiled)
        .node(&compiled.plan.nodes[0])
        .unwrap();
}

#[test]
fn a_tree_that_changed_since_the_plan_is_refused() {
    let (folder, (_root, store)) = (folder(), store());
    let compiled = plan(
        folder.path(),
        r#"guest "db" directory="tree" { command "server" }
           node "n1" { guest "db" }"#,
    );
    fs::write(folder.path().join("tree/new"), "x").unwrap();
    let error = images(&store, &compiled).node(&compiled.plan.nodes[0]);
    assert!(
        matches!(error, Err(ArtifactError::Changed { .. })),
        "{error:?}"
    );
}

#[test]
fn files_that_do_not_fit_into_memory_are_refused() {
    let (folder, (_root, store)) = (folder(), store());
    fs::write(folder.path().join("app.toml"), vec![b'#'; 4 << 20]).unwrap();
    let cluster = CLUSTER.replace("env A", "memory \"8MiB\"\nenv A");
    let compiled = plan(folder.path(), &cluster);
    let error = images(&store, &compiled).node(&compiled.plan.nodes[0]);
    assert!(
        matches!(error, Err(ArtifactError::Memory { .. })),
        "{error:?}"
    );
}

#[test]
fn a_plan_from_elsewhere_lacks_its_files() {
    let (folder, (_root, store)) = (folder(), store());
    let mut compiled = plan(folder.path(), CLUSTER);
    compiled.origins = Origins::default();
    let error = images(&store, &compiled).node(&compiled.plan.nodes[0]);
    assert!(
        matches!(error, Err(ArtifactError::NoOrigin { .. })),
        "{error:?}"
    );
}
