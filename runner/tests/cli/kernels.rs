//! Kernels from package archives that the tests make themselves: small packages with the layouts of
//! several releases, in archives that a private configuration of apt names. Nothing is fetched.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use super::{World, assert_exit, stderr, stdout};

/// A machine with its own sources of packages.
struct Machine {
    world: World,
}

/// A package: its name, version, dependencies, and files, each of which has its path as content.
struct Package<'a>(&'a str, &'a str, &'a str, &'a [&'a str]);

impl Machine {
    /// A machine whose only source is the suite `old` of an archive.
    fn new() -> Self {
        let world = World::new();
        for part in [
            "etc/sources",
            "state/lists/partial",
            "state/auxfiles",
            "cache/archives/partial",
        ] {
            fs::create_dir_all(world.path("apt").join(part)).unwrap();
        }
        let apt = world.path("apt").display().to_string();
        fs::write(world.path("apt/status"), "").unwrap();
        let config = format!(
            "Dir::State \"{apt}/state\";\nDir::State::status \"{apt}/status\";\n\
             Dir::Cache \"{apt}/cache\";\nDir::Etc::sourcelist \"/dev/null\";\n\
             Dir::Etc::sourceparts \"{apt}/etc/sources\";\nDir::Etc::parts \"/dev/null\";\n\
             APT::Architecture \"amd64\";\nAPT::Architectures {{ \"amd64\"; }};\n\
             APT::Sandbox::User \"root\";\n"
        );
        fs::write(world.path("apt.conf"), config).unwrap();
        let source = format!(
            "deb [trusted=yes] copy:{} old main\n",
            world.path("archive").display()
        );
        fs::write(world.path("apt/etc/sources/own.list"), source).unwrap();
        Self { world }
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = self.world.command(args);
        command.env("APT_CONFIG", self.world.path("apt.conf"));
        command
    }

    fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// Has the lists of the machine know what the archive has now.
    fn update(&self) {
        let mut command = Command::new("apt-get");
        command
            .args(["-qq", "update"])
            .env("APT_CONFIG", self.world.path("apt.conf"));
        run(&mut command);
    }

    /// Makes a suite of the archive of these packages.
    fn publish(&self, suite: &str, packages: &[Package<'_>]) {
        let archive = self.world.path("archive");
        let folder = format!("dists/{suite}/main/binary-amd64");
        fs::create_dir_all(archive.join(&folder)).unwrap();
        fs::create_dir_all(archive.join("pool")).unwrap();
        let mut index = String::new();
        for package in packages {
            index += &self.package(package, &archive);
        }
        fs::write(archive.join(&folder).join("Packages"), &index).unwrap();
        let hash = sha256(&archive.join(&folder).join("Packages"));
        let release = format!(
            "Origin: Debian\nLabel: Debian\nSuite: {suite}\nCodename: {suite}\n\
             Date: Thu, 01 Jan 2026 00:00:00 UTC\nArchitectures: amd64\nComponents: main\n\
             SHA256:\n {hash} {} main/binary-amd64/Packages\n",
            index.len()
        );
        fs::write(archive.join(format!("dists/{suite}/Release")), release).unwrap();
    }

    /// Builds a package and returns its stanza.
    fn package(&self, package: &Package<'_>, archive: &Path) -> String {
        let Package(name, version, depends, files) = package;
        let root = tempfile::tempdir().unwrap();
        for file in *files {
            let path = root.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, format!("{file} of {version}")).unwrap();
        }
        let depends = match *depends {
            "" => String::new(),
            depends => format!("Depends: {depends}\n"),
        };
        let mut stanza = format!(
            "Package: {name}\nVersion: {version}\nArchitecture: amd64\nMaintainer: \
             Nobody <n@example.org>\n{depends}Description: x\n"
        );
        fs::create_dir(root.path().join("DEBIAN")).unwrap();
        fs::write(root.path().join("DEBIAN/control"), &stanza).unwrap();
        let file = format!("pool/{name}_{version}_amd64.deb");
        let path = archive.join(&file);
        run(Command::new("dpkg-deb")
            .args(["--root-owner-group", "-Znone", "-b"])
            .args([root.path(), &path]));
        let size = fs::metadata(&path).unwrap().len();
        stanza += &format!(
            "Filename: {file}\nSize: {size}\nSHA256: {}\n\n",
            sha256(&path)
        );
        stanza
    }

    /// What the cache has for a name: version, content, and the files of its modules.
    fn built(&self, name: &str) -> (String, String, Vec<String>) {
        let output = self.run(&["artifact", "list", "--json"]);
        let rows: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let row = rows
            .as_array()
            .unwrap()
            .iter()
            .find(|row| row["name"] == name);
        let row = row.unwrap_or_else(|| panic!("no {name}: {rows}"));
        let text = |key: &str| {
            row[key]
                .as_str()
                .unwrap_or_else(|| panic!("{row}"))
                .to_owned()
        };
        let modules = Path::new(&text("modules")).join("lib/modules");
        let mut files = Vec::new();
        let mut pending = vec![modules.clone()];
        while let Some(folder) = pending.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                match path.is_dir() {
                    true => pending.push(path),
                    false => files.push(path.strip_prefix(&modules).unwrap().display().to_string()),
                }
            }
        }
        files.sort();
        (
            text("version"),
            fs::read_to_string(text("path")).unwrap(),
            files,
        )
    }
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", stderr(&output));
}

fn sha256(path: &Path) -> String {
    let output = Command::new("sha256sum").arg(path).output().unwrap();
    stdout(&output).split(' ').next().unwrap().to_owned()
}

/// The packages of a kernel: names, version, dependencies and files.
type Kernel<'a> = Vec<(String, &'a str, String, Vec<String>)>;

const META: &str = "linux-image-cloud-amd64";

/// A kernel in one package, as until Debian 13, with the package that depends on it.
fn whole<'a>(abi: &str, version: &'a str) -> Kernel<'a> {
    let name = format!("linux-image-{abi}-cloud-amd64");
    let release = format!("{abi}-cloud-amd64");
    let files = vec![
        format!("boot/vmlinuz-{release}"),
        format!("lib/modules/{release}/kernel/a.ko"),
    ];
    vec![
        (
            META.to_owned(),
            version,
            format!("{name} (= {version})"),
            Vec::new(),
        ),
        (
            name,
            version,
            "kmod, linux-base (>= 4.3~)".to_owned(),
            files,
        ),
    ]
}

/// A kernel in parts, as since then.
fn parted<'a>(abi: &str, version: &'a str) -> Kernel<'a> {
    let kind = format!("{abi}-cloud-amd64");
    let folder = format!("usr/lib/modules/{kind}");
    let base = format!("linux-base-{kind} (= {version})");
    vec![
        (
            META.to_owned(),
            version,
            format!("linux-base-cloud-amd64 (= {version}), linux-image-{kind} (= {version})"),
            Vec::new(),
        ),
        (
            "linux-base-cloud-amd64".to_owned(),
            version,
            base.clone(),
            Vec::new(),
        ),
        (
            format!("linux-image-{kind}"),
            version,
            format!(
                "dracut | initramfs-tools, {base}, linux-binary-{kind} (= \
                 {version}), linux-modules-{kind} (= {version})"
            ),
            vec!["usr/share/doc/nothing".to_owned()],
        ),
        (
            format!("linux-binary-{kind}"),
            version,
            base.clone(),
            vec![format!("{folder}/vmlinuz")],
        ),
        (
            format!("linux-modules-{kind}"),
            version,
            format!("kmod, {base}"),
            vec![format!("{folder}/kernel/a.ko.xz")],
        ),
        (
            format!("linux-base-{kind}"),
            version,
            String::new(),
            vec![format!("{folder}/modules.builtin")],
        ),
    ]
}

impl Machine {
    fn publish_all(&self, suite: &str, kernels: &[Kernel<'_>]) {
        let packages: Vec<_> = kernels.iter().flatten().collect();
        let files: Vec<Vec<&str>> = packages
            .iter()
            .map(|p| p.3.iter().map(String::as_str).collect())
            .collect();
        let packages: Vec<Package<'_>> = packages
            .iter()
            .zip(&files)
            .map(|(p, files)| Package(&p.0, p.1, &p.2, files))
            .collect();
        self.publish(suite, &packages);
    }

    fn build(&self, name: &str) {
        let output = self.run(&["artifact", "build", name]);
        assert_exit(&output, 0, &[]);
    }
}

#[test]
fn a_kernel_is_taken_from_whichever_packages_have_it() {
    let machine = Machine::new();
    machine.publish_all("old", &[whole("6.1.0-9", "6.1.9-1")]);
    machine.publish_all("new", &[parted("7.2.1+deb14", "7.2.1-1")]);
    // The machine's own lists are empty, so that they are fetched.
    machine.build("debian");
    let release = "6.1.0-9-cloud-amd64";
    let expected = (
        "6.1.9-1".to_owned(),
        format!("boot/vmlinuz-{release} of 6.1.9-1"),
        vec![format!("{release}/kernel/a.ko")],
    );
    assert_eq!(machine.built("debian"), expected);

    machine.build("debian:suite=new");
    let release = "7.2.1+deb14-cloud-amd64";
    let expected = (
        "7.2.1-1".to_owned(),
        format!("usr/lib/modules/{release}/vmlinuz of 7.2.1-1"),
        vec![
            format!("{release}/kernel/a.ko.xz"),
            format!("{release}/modules.builtin"),
        ],
    );
    assert_eq!(machine.built("debian:suite=new"), expected);
}

#[test]
fn the_newest_kernel_of_a_version_is_taken_and_newer_ones_are_told() {
    let machine = Machine::new();
    let kernels = || vec![whole("6.1.0-9", "6.1.9-1"), whole("6.1.0-10", "6.1.10-1")];
    machine.publish_all("old", &kernels());
    machine.update();
    machine.build("debian:version=6.1.9*");
    machine.build("debian");
    assert_eq!(machine.built("debian:version=6.1.9*").0, "6.1.9-1");
    assert_eq!(machine.built("debian").0, "6.1.10-1");
    let list = |machine: &Machine| stdout(&machine.run(&["artifact", "list"]));
    assert!(!list(&machine).contains("is newer"), "{}", list(&machine));

    // Nothing is fetched to find out; what the lists know is told.
    machine.publish_all(
        "old",
        &[kernels(), vec![whole("6.1.0-11", "6.1.11-1")]].concat(),
    );
    assert!(!list(&machine).contains("is newer"), "{}", list(&machine));
    machine.update();
    let told = list(&machine);
    assert!(
        told.contains("6.1.11-1 is newer: chaosrun artifact build debian\n"),
        "{told}"
    );
    assert_eq!(told.matches("is newer").count(), 1, "{told}");
    machine.build("debian");
    assert!(!list(&machine).contains("is newer"), "{}", list(&machine));
}

#[test]
fn what_the_archive_lacks_is_said() {
    let machine = Machine::new();
    let mut parts = parted("7.2.1", "7.2.1-1");
    parts.retain(|package| !package.0.starts_with("linux-modules-"));
    machine.publish_all("old", &[whole("6.1.0-9", "6.1.9-1")]);
    machine.publish_all("new", &[parts]);
    machine.publish_all(
        "broken",
        &[vec![
            (
                META.to_owned(),
                "1-1",
                "linux-image-1-cloud-amd64".to_owned(),
                Vec::new(),
            ),
            (
                "linux-image-1-cloud-amd64".to_owned(),
                "1-1",
                String::new(),
                vec!["usr/x".to_owned()],
            ),
        ]],
    );
    for (name, said) in [
        ("debian:version=6.2*", &["no_version", "6.1.9-1"][..]),
        (
            "debian:package=linux-image-none",
            &["no_package", "linux-image-none"],
        ),
        (
            "debian:suite=none",
            &["no_suite", "`none`", "linux-image-cloud-amd64"],
        ),
        (
            "debian:suite=new",
            &["missing_part", "linux-modules-7.2.1-cloud-amd64"],
        ),
        ("debian:suite=broken", &["bad_package", "neither boot/"]),
    ] {
        let output = machine.run(&["artifact", "build", name]);
        assert_exit(&output, 69, said);
    }
    for (name, said) in [
        ("debian:colour=red", &["bad_choice", "`suite`"][..]),
        ("debian:suite=", &["bad_choice", "trixie"]),
    ] {
        let output = machine.run(&["boot", name]);
        assert_exit(&output, 2, said);
    }
    let output = machine.run(&["artifact", "list"]);
    assert!(!stdout(&output).contains("debian:"), "{}", stdout(&output));
}

#[test]
fn a_plan_has_the_kernel_that_is_chosen_and_by_its_content_once_it_is_there() {
    let machine = Machine::new();
    machine.publish_all("old", &[whole("6.1.0-9", "6.1.9-1")]);
    machine.publish_all("new", &[parted("7.2.1", "7.2.1-1")]);
    let text = "scenario \"s\" schema=1 {\n node \"n1\" { kernel \"debian\" suite=\"new\" }\n \
                node \"n2\" { kernel \"debian\" }\n \
                node \"n3\" { kernel \"debian:suite=new\" }\n run duration=\"1s\"\n}\n";
    fs::write(machine.world.path("s.kdl"), text).unwrap();
    let kernels = || {
        let output = machine.run(&["plan", "s.kdl", "--json"]);
        let plans: serde_json::Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{error}: {} {}", stdout(&output), stderr(&output)));
        let plan = if plans.is_array() { &plans[0] } else { &plans };
        let plan = plan.get("plan").unwrap_or(plan);
        let [new, old, again] = [0, 1, 2].map(|node| plan["nodes"][node]["kernel"].clone());
        assert_eq!(new, again, "the name in one word is the same");
        [new, old]
    };
    let [new, old] = kernels();
    assert_eq!(new["name"], "debian");
    assert_eq!(new["choice"]["suite"], "new");
    assert_eq!(old.get("choice"), None);
    assert_eq!(new["image"]["by"], "recipe");
    assert_eq!(new["image"]["name"], "debian:suite=new");
    assert_ne!(new["image"]["blake3"], old["image"]["blake3"]);
    machine.build("debian:suite=new");
    machine.build("debian");
    let [new, old] = kernels();
    assert_eq!(new["image"]["by"], "content");
    assert_ne!(new["image"]["blake3"], old["image"]["blake3"]);
}
