//! Choosing kernels from archives as Debian and Ubuntu have them.

use super::*;

/// Packages with versions and dependencies, the candidate of each name first.
struct Fake(Vec<Stanza>);

impl Archive for Fake {
    fn candidate(&self, package: &str) -> Result<Option<Stanza>, ArtifactError> {
        Ok(self.versions(&[package])?.into_iter().next())
    }

    fn versions(&self, packages: &[&str]) -> Result<Vec<Stanza>, ArtifactError> {
        let is_named = |s: &&Stanza| packages.contains(&s.package.as_str());
        let of_name = self.0.iter().filter(is_named);
        Ok(of_name.cloned().collect())
    }

    fn names(&self, prefix: &str) -> Result<Vec<String>, ArtifactError> {
        let mut names: Vec<String> = self.0.iter().map(|s| s.package.clone()).collect();
        names.retain(|name| name.starts_with(prefix));
        names.sort();
        names.dedup();
        Ok(names)
    }

    fn is_newer(&self, version: &str, than: &str) -> Result<bool, ArtifactError> {
        let numbers = |text: &str| -> Vec<u64> {
            text.split(|c: char| !c.is_ascii_digit())
                .filter_map(|n| n.parse().ok())
                .collect()
        };
        Ok(numbers(version) > numbers(than))
    }
}

fn stanza(package: &str, version: &str, depends: &str) -> Stanza {
    Stanza {
        package: package.into(),
        version: version.into(),
        depends: depends.into(),
        provides: String::new(),
        section: "kernel".into(),
        priority: "optional".into(),
        size: 1,
    }
}

/// Debian 12 with security updates and older kernels.
fn bookworm() -> Fake {
    let image = |abi: &str, version: &str| {
        stanza(
            &format!("linux-image-{abi}-cloud-amd64"),
            version,
            "kmod, linux-base (>= 4.3~), initramfs-tools (>= 0.120) | linux-initramfs-tool",
        )
    };
    Fake(vec![
        stanza(
            "linux-image-cloud-amd64",
            "6.1.192-3",
            "linux-image-6.1.0-57-cloud-amd64 (= 6.1.192-3)",
        ),
        stanza(
            "linux-image-cloud-amd64",
            "6.1.176-1",
            "linux-image-6.1.0-50-cloud-amd64 (= 6.1.176-1)",
        ),
        stanza(
            "linux-image-6.12-cloud-amd64",
            "6.12.117-1~deb12u1",
            "linux-image-6.12.117+deb12-cloud-amd64 (= 6.12.117-1~deb12u1)",
        ),
        image("6.1.0-50", "6.1.176-1"),
        image("6.1.0-57", "6.1.192-3"),
        image("6.12.99+deb12", "6.12.99-1~deb12u1"),
        image("6.12.117+deb12", "6.12.117-1~deb12u1"),
        stanza("linux-image-6.1.0-57-amd64", "6.1.192-3", "kmod"),
        stanza("linux-image-6.1.0-57-rt-amd64", "6.1.192-3", "kmod"),
        stanza(
            "linux-image-amd64",
            "6.1.192-3",
            "linux-image-6.1.0-57-amd64 (= 6.1.192-3)",
        ),
        stanza("linux-image-6.1.0-58-cloud-amd64", "6.1.999-1", "kmod"),
        stanza(
            "linux-image-6.12.117+deb12-cloud-amd64-dbg",
            "6.12.117-9",
            "",
        ),
    ])
}

/// What forky and sid have since 7.2.
fn sid() -> Fake {
    let kind = "7.2.13+deb14-cloud-amd64";
    let version = "7.2.13-1";
    let part =
        |part: &str, depends: &str| stanza(&format!("linux-{part}-{kind}"), version, depends);
    let base = format!("linux-base-{kind} (= {version})");
    Fake(vec![
        stanza(
            "linux-image-cloud-amd64",
            version,
            &format!("linux-base-cloud-amd64 (= {version}), linux-image-{kind} (= {version})"),
        ),
        stanza("linux-base-cloud-amd64", version, &base),
        part(
            "image",
            &format!(
                "dracut | initramfs-tools (>= 0.120) | linux-initramfs-tool, {base}, \
                 linux-binary-{kind} (= {version}), linux-modules-{kind} (= {version}), \
                 linux-base (>= 4.17~)"
            ),
        ),
        part("binary", &base),
        part("modules", &format!("kmod, {base}")),
        part("base", ""),
    ])
}

/// Ubuntu, whose dependencies have no versions.
fn ubuntu() -> Fake {
    Fake(vec![
        stanza(
            "linux-image-virtual",
            "6.8.0-45.45",
            "linux-image-6.8.0-45-generic",
        ),
        stanza(
            "linux-image-6.8.0-45-generic",
            "6.8.0-45.45",
            "kmod, linux-base (>= 4.5ubuntu1~16.04.1), linux-modules-6.8.0-45-generic",
        ),
        stanza(
            "linux-image-unsigned-6.8.0-45-generic",
            "6.8.0-45.45",
            "kmod, linux-base, linux-modules-6.8.0-45-generic",
        ),
        stanza(
            "linux-modules-6.8.0-45-generic",
            "6.8.0-45.45",
            "wireless-regdb",
        ),
    ])
}

/// The names of the packages, and the kernel's version.
fn chosen(archive: &Fake, name: &str) -> Result<(Vec<String>, String), ArtifactError> {
    let choice = KernelChoice::parse(name).unwrap().unwrap();
    let chosen = choose(archive, &choice)?.ok_or(ArtifactError::NoCacheHome)?;
    let names = chosen.packages.into_iter().map(|s| s.package).collect();
    Ok((names, chosen.version))
}

fn one(package: &str, version: &str) -> (Vec<String>, String) {
    (vec![package.to_owned()], version.to_owned())
}

#[test]
fn the_current_kernel_of_debian_12_is_one_package() {
    let expected = one("linux-image-6.1.0-57-cloud-amd64", "6.1.192-3");
    assert_eq!(chosen(&bookworm(), "debian").unwrap(), expected);
}

#[test]
fn the_newest_kernel_of_a_version_is_found_among_all_of_its_kind() {
    for (version, package, found) in [
        ("6.12*", "6.12.117+deb12-cloud-amd64", "6.12.117-1~deb12u1"),
        (
            "6.12.99-*",
            "6.12.99+deb12-cloud-amd64",
            "6.12.99-1~deb12u1",
        ),
        ("6.1.1*", "6.1.0-57-cloud-amd64", "6.1.192-3"),
        ("6.1.176-1", "6.1.0-50-cloud-amd64", "6.1.176-1"),
        ("6.1.999*", "6.1.0-58-cloud-amd64", "6.1.999-1"),
    ] {
        let (packages, version) =
            chosen(&bookworm(), &format!("debian:version={version}")).unwrap();
        assert!(
            packages.contains(&format!("linux-image-{package}")),
            "{packages:?}"
        );
        assert_eq!(version, found);
    }
}

#[test]
fn another_kind_of_kernel_is_not_taken_for_it() {
    let plain = "debian:package=linux-image-amd64,version=6.*";
    let expected = one("linux-image-6.1.0-57-amd64", "6.1.192-3");
    assert_eq!(chosen(&bookworm(), plain).unwrap(), expected);
}

#[test]
fn a_version_that_there_is_not_is_refused_with_those_that_there_are() {
    let refused = chosen(&bookworm(), "debian:version=6.13*").unwrap_err();
    let ArtifactError::NoVersion { known, wanted, .. } = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(wanted, "6.13*");
    assert!(known.contains(&"6.1.176-1".to_owned()), "{known:?}");
}

#[test]
fn a_package_that_there_is_not_is_none() {
    let choice = KernelChoice::parse("debian:package=linux-image-none")
        .unwrap()
        .unwrap();
    assert_eq!(choose(&bookworm(), &choice).unwrap(), None);
    assert_eq!(
        choose(&Fake(Vec::new()), &KernelChoice::default()).unwrap(),
        None
    );
}

#[test]
fn newer_debian_has_a_kernel_in_several_packages() {
    let (packages, version) = chosen(&sid(), "debian").unwrap();
    let kind = "7.2.13+deb14-cloud-amd64";
    let expected = ["base", "binary", "image", "modules"];
    assert_eq!(
        packages,
        expected.map(|part| format!("linux-{part}-{kind}"))
    );
    assert_eq!(version, "7.2.13-1");
}

#[test]
fn a_part_that_is_missing_is_named() {
    let mut archive = sid();
    archive
        .0
        .retain(|s| !s.package.starts_with("linux-modules-"));
    let refused = chosen(&archive, "debian").unwrap_err();
    let text = refused.to_string();
    assert!(
        text.contains("linux-modules-7.2.13+deb14-cloud-amd64"),
        "{text}"
    );
    // So is one of another version.
    let mut archive = sid();
    for stanza in &mut archive.0 {
        if stanza.package.starts_with("linux-binary-") {
            stanza.version = "7.2.12-1".into();
        }
    }
    let refused = chosen(&archive, "debian").unwrap_err().to_string();
    assert!(refused.contains("linux-binary-7.2.13"), "{refused}");
}

#[test]
fn ubuntu_has_modules_apart_and_kernels_with_and_without_signature() {
    let modules = "linux-modules-6.8.0-45-generic";
    for (name, image) in [
        ("debian", "linux-image-6.8.0-45-generic"),
        ("debian:version=6.8.0-45*", "linux-image-6.8.0-45-generic"),
        (
            "debian:package=linux-image-unsigned-6.8.0-45-generic",
            "linux-image-unsigned-6.8.0-45-generic",
        ),
    ] {
        let (packages, version) = chosen(&ubuntu(), name).unwrap();
        assert_eq!(packages, [image, modules], "{name}");
        assert_eq!(version, "6.8.0-45.45");
    }
}

#[test]
fn packages_that_need_each_other_do_not_hang() {
    let archive = Fake(vec![
        stanza(
            "linux-image-cloud-amd64",
            "1-1",
            "linux-image-1-cloud-amd64",
        ),
        stanza("linux-image-1-cloud-amd64", "1-1", "linux-modules-1"),
        stanza(
            "linux-modules-1",
            "1-1",
            "linux-image-1-cloud-amd64 (= 1-1)",
        ),
    ]);
    assert_eq!(chosen(&archive, "debian").unwrap().0.len(), 2);
}

#[test]
fn a_package_that_leads_to_no_kernel_is_refused() {
    let archive = Fake(vec![stanza("linux-image-cloud-amd64", "1-1", "kmod")]);
    let refused = chosen(&archive, "debian").unwrap_err();
    assert!(
        matches!(refused, ArtifactError::BadPackage { .. }),
        "{refused:?}"
    );
}

#[test]
fn patterns_fit_whole_versions() {
    for (pattern, text) in [
        ("6.12*", "6.12.1-1"),
        ("6.*-1", "6.12.1-1"),
        ("6.1.1-1", "6.1.1-1"),
        ("6*1*1", "6.111"),
        ("6**", "6"),
    ] {
        assert!(matches(pattern, text), "{pattern} {text}");
    }
    for (pattern, text) in [
        ("6.12", "6.12.1-1"),
        ("6.12*", "6.1"),
        ("6*11", "6.1"),
        ("6.1*1", "6.1"),
    ] {
        assert!(!matches(pattern, text), "{pattern} {text}");
    }
}
