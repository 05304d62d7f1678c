//! What decides the program that cargo makes of a crate: its sources, those of the crates of the same
//! project that it depends on, what the project's manifest says about all of them, and the versions
//! of what comes from registries, as `Cargo.lock` has them.
//!
//! Sources that a crate reads from outside of the folders of packages (`include!("../../x")`) do not
//! count; neither do its environment and what its build script looks at.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use chaosrun_language::plan::artifacts::Problem;

use crate::artifact::host_files::reason;
use crate::artifact::tree::{Detail, hash_tree};

/// How many local crates a crate may depend on.
const MAX_PACKAGES: usize = 1000;

/// The tables of a project's manifest that change what its members are compiled to.
const SHARED_TABLES: &[&str] = &["profile", "patch", "replace"];

/// The same, below `[workspace]`.
const WORKSPACE_TABLES: &[&str] = &["package", "dependencies", "resolver", "lints"];

/// The sources of a crate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sources {
    /// The package's name.
    pub name: String,
    /// The binary that is meant if none is named.
    pub bin: String,
    /// The folder with the `Cargo.lock`: the workspace's, or the package's own.
    pub root: PathBuf,
    /// BLAKE3 of all that is known to decide the program, in hexadecimal digits.
    pub blake3: String,
}

/// Finds and hashes the sources of the crate in `folder`; without `hashed` the hash is empty.
///
/// # Errors
/// The folder has no manifest of a package, or a source or a dependency cannot be read.
pub fn sources(folder: &Path, hashed: bool) -> Result<Sources, Problem> {
    let manifest = manifest(folder)?;
    let package = table(&manifest, "package");
    let name = package
        .and_then(|p| p.get("name")?.as_str())
        .ok_or_else(|| Problem::Wrong("its Cargo.toml has no package name".into()))?
        .to_owned();
    let folder = std::fs::canonicalize(folder).map_err(|e| Problem::Missing(reason(&e)))?;
    let root = workspace_root(&folder, &manifest);
    let bin = default_bin(&manifest, &name);
    let blake3 = if hashed {
        hash(&folder, &root, &name)?
    } else {
        String::new()
    };
    Ok(Sources {
        name,
        bin,
        root,
        blake3,
    })
}

fn hash(folder: &Path, root: &Path, name: &str) -> Result<String, Problem> {
    let workspace = if root.join("Cargo.toml").is_file() {
        self::manifest(root)?
    } else {
        Table::new()
    };
    let mut hasher = blake3::Hasher::new();
    let mut add = |part: &[u8]| {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    };
    add(b"chaosrun crate 1");
    for (place, hash) in local_packages(folder, root, &workspace)? {
        add(place.as_bytes());
        add(hash.as_bytes());
    }
    for key in SHARED_TABLES {
        add(canonical(workspace.get(*key)).as_bytes());
    }
    for key in WORKSPACE_TABLES {
        let value = table(&workspace, "workspace").and_then(|w| w.get(*key));
        add(canonical(value).as_bytes());
    }
    for locked in locked(root, name)? {
        add(locked.as_bytes());
    }
    Ok(hasher.finalize().to_hex().to_string())
}

/// The crate and the crates of this host that it depends on, by their place in the project, with the
/// hash of each one's files.
fn local_packages(
    folder: &Path,
    root: &Path,
    workspace: &Table,
) -> Result<BTreeMap<String, String>, Problem> {
    let mut found = BTreeMap::new();
    let mut pending = vec![folder.to_owned()];
    let mut seen = BTreeSet::new();
    while let Some(folder) = pending.pop() {
        let folder = std::fs::canonicalize(&folder).map_err(|e| {
            Problem::Missing(format!(
                "its dependency `{}`: {}",
                folder.display(),
                reason(&e)
            ))
        })?;
        if !seen.insert(folder.clone()) {
            continue;
        }
        if seen.len() > MAX_PACKAGES {
            return Err(Problem::Wrong(format!(
                "it depends on more than {MAX_PACKAGES} crates by path"
            )));
        }
        let manifest = manifest(&folder)?;
        pending.extend(path_dependencies(&manifest, &folder, root, workspace));
        // What cargo writes must not change the hash, and a package inside of a package is another.
        let wanted = |path: &Path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            !name.starts_with('.') && name != "target" && !path.join("Cargo.toml").is_file()
        };
        let (hash, _) = hash_tree(&folder, Detail::Sources, &wanted)?;
        // Where the project is must not count; a crate outside of it is known by its name only.
        let place = match folder.strip_prefix(root) {
            Ok(inside) => inside.display().to_string(),
            Err(_) => table(&manifest, "package")
                .and_then(|p| p.get("name")?.as_str())
                .unwrap_or_default()
                .to_owned(),
        };
        found.insert(place, hash);
    }
    Ok(found)
}

/// The folders of the crates that a manifest names by path, also by way of the workspace. Those that
/// are only for tests do not count.
fn path_dependencies(
    manifest: &Table,
    folder: &Path,
    root: &Path,
    workspace: &Table,
) -> Vec<PathBuf> {
    let shared = table(workspace, "workspace").and_then(|w| table(w, "dependencies"));
    let targets = table(manifest, "target");
    let places = std::iter::once(manifest).chain(
        targets
            .into_iter()
            .flat_map(|t| t.values().filter_map(Value::as_table)),
    );
    let path = |value: &Value| Some(value.as_table()?.get("path")?.as_str()?.to_owned());
    let mut found = Vec::new();
    for place in places {
        for kind in ["dependencies", "build-dependencies"] {
            for (key, value) in table(place, kind).into_iter().flatten() {
                if let Some(path) = path(value) {
                    found.push(folder.join(path));
                } else if value.get("workspace").and_then(Value::as_bool) == Some(true)
                    && let Some(path) = shared.and_then(|s| path(s.get(key)?))
                {
                    found.push(root.join(path));
                }
            }
        }
    }
    found
}

/// Name, version, source and checksum of everything in `Cargo.lock` that the package needs, sorted.
/// Without a lock file there is nothing to say.
fn locked(root: &Path, name: &str) -> Result<BTreeSet<String>, Problem> {
    let text = match std::fs::read_to_string(root.join("Cargo.lock")) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
        Err(e) => return Err(Problem::Missing(format!("its Cargo.lock: {}", reason(&e)))),
    };
    let lock: Table = toml::from_str(&text).map_err(|_| {
        Problem::Wrong("its Cargo.lock is damaged; `cargo update -w` repairs it".into())
    })?;
    let packages: Vec<&Table> = lock
        .get("package")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_table)
        .collect();
    let mut by_name: BTreeMap<&str, Vec<&Table>> = BTreeMap::new();
    for package in packages {
        by_name
            .entry(field(package, "name"))
            .or_default()
            .push(package);
    }
    let mut found = BTreeSet::new();
    let mut pending = vec![name.to_owned()];
    while let Some(wanted) = pending.pop() {
        // A dependency is written as `name`, `name version` or `name version (source)`, as far as
        // it takes to be unambiguous.
        let mut words = wanted.split(' ');
        let (name, version) = (words.next().unwrap_or_default(), words.next());
        for package in by_name.get(name).into_iter().flatten() {
            if version.is_some_and(|v| v != field(package, "version")) {
                continue;
            }
            let line = ["name", "version", "source", "checksum"]
                .map(|key| field(package, key))
                .join(" ");
            if found.insert(line) {
                let dependencies = package.get("dependencies").and_then(Value::as_array);
                let names = dependencies.into_iter().flatten().filter_map(Value::as_str);
                pending.extend(names.map(ToOwned::to_owned));
            }
        }
    }
    Ok(found)
}

fn field<'a>(package: &'a Table, key: &str) -> &'a str {
    package.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// The folder of the workspace that a package is in, or its own.
fn workspace_root(folder: &Path, manifest: &Table) -> PathBuf {
    if manifest.contains_key("workspace") {
        return folder.to_owned();
    }
    let named = table(manifest, "package").and_then(|p| p.get("workspace")?.as_str());
    if let Some(root) = named.and_then(|path| std::fs::canonicalize(folder.join(path)).ok()) {
        return root;
    }
    for ancestor in folder.ancestors().skip(1) {
        let Ok(manifest) = self::manifest(ancestor) else {
            continue;
        };
        let Some(workspace) = table(&manifest, "workspace") else {
            continue;
        };
        let excluded = workspace.get("exclude").and_then(Value::as_array);
        let excluded = excluded.into_iter().flatten().filter_map(Value::as_str);
        if excluded
            .into_iter()
            .any(|e| folder.starts_with(ancestor.join(e)))
        {
            continue;
        }
        return ancestor.to_owned();
    }
    folder.to_owned()
}

/// `default-run`, or the only `[[bin]]`, or the one that is called as the package.
fn default_bin(manifest: &Table, name: &str) -> String {
    let run = table(manifest, "package").and_then(|p| p.get("default-run")?.as_str());
    let bins: Vec<&str> = manifest
        .get("bin")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|bin| bin.get("name")?.as_str())
        .collect();
    match (run, bins.as_slice()) {
        (Some(run), _) => run.to_owned(),
        (None, [one]) => (*one).to_owned(),
        _ => name.to_owned(),
    }
}

fn manifest(folder: &Path) -> Result<Table, Problem> {
    let text = match std::fs::read_to_string(folder.join("Cargo.toml")) {
        Ok(text) => text,
        Err(e) if folder.is_dir() => {
            return Err(Problem::Wrong(format!(
                "its Cargo.toml can't be read: {}",
                reason(&e)
            )));
        }
        Err(_) => {
            return Err(Problem::Missing(
                std::fs::metadata(folder)
                    .err()
                    .map_or_else(|| "it is not a directory".into(), |e| reason(&e)),
            ));
        }
    };
    toml::from_str(&text)
        .map_err(|e| Problem::Wrong(format!("its Cargo.toml is not right: {}", e.message())))
}

fn table<'a>(table: &'a Table, key: &str) -> Option<&'a Table> {
    table.get(key).and_then(Value::as_table)
}

/// A value as text, the same for the same value.
fn canonical(value: Option<&Value>) -> String {
    value.map(|value| format!("{value:?}")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// A project of a crate `app` that depends on `lib` by path, and on what the lock file says.
    fn project() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        let put = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        put(
            "Cargo.toml",
            "[workspace]\nmembers = [\"app\", \"lib\", \"other\"]\n\
             [workspace.dependencies]\nlib = { path = \"lib\" }\n",
        );
        put(
            "Cargo.lock",
            "[[package]]\nname = \"app\"\nversion = \"1.0.0\"\ndependencies = [\"lib\"]\n\
             [[package]]\nname = \"lib\"\nversion = \"1.0.0\"\ndependencies = [\"dep 2.0.0\"]\n\
             [[package]]\nname = \"dep\"\nversion = \"2.0.0\"\nchecksum = \"aa\"\n\
             [[package]]\nname = \"dep\"\nversion = \"1.0.0\"\nchecksum = \"bb\"\n",
        );
        put(
            "app/Cargo.toml",
            "[package]\nname = \"app\"\n[target.'cfg(unix)'.dependencies]\nlib.workspace = true\n",
        );
        put("app/src/main.rs", "fn main() {}");
        put("lib/Cargo.toml", "[package]\nname = \"lib\"\n");
        put("lib/src/lib.rs", "");
        put("lib/inner/Cargo.toml", "[package]\nname = \"inner\"\n");
        put("lib/inner/src/lib.rs", "");
        put("other/Cargo.toml", "[package]\nname = \"other\"\n");
        root
    }

    fn hash_of(root: &Path) -> String {
        sources(&root.join("app"), true).unwrap().blake3
    }

    /// The hash after a text is replaced in a file.
    fn after(path: &str, from: &str, to: &str) -> String {
        let root = project();
        let path = root.path().join(path);
        let text = fs::read_to_string(&path).unwrap_or_default();
        assert!(text.contains(from), "{text}");
        fs::write(path, text.replacen(from, to, 1)).unwrap();
        hash_of(root.path())
    }

    #[test]
    fn the_hash_is_the_same_in_another_checkout() {
        assert_eq!(hash_of(project().path()), hash_of(project().path()));
    }

    #[test]
    fn all_that_decides_the_program_counts() {
        let before = hash_of(project().path());
        for (path, from, to) in [
            ("app/src/main.rs", "{}", "{ }"),
            ("lib/src/lib.rs", "", "//"),
            ("lib/Cargo.toml", "lib", "lib2"),
            ("Cargo.lock", "aa", "ab"),
            (
                "Cargo.toml",
                "[workspace]",
                "[profile.release]\nlto = true\n[workspace]",
            ),
        ] {
            assert_ne!(after(path, from, to), before, "{path}");
        }
    }

    #[test]
    fn what_other_crates_need_does_not_count() {
        let before = hash_of(project().path());
        for (path, from, to) in [
            ("other/Cargo.toml", "other", "another"),
            ("lib/inner/src/lib.rs", "", "//"),
            ("Cargo.lock", "bb", "bc"),
            ("Cargo.toml", ", \"other\"", ""),
            ("app/target/x", "", "y"),
            ("app/.git", "", "y"),
        ] {
            let root = project();
            fs::create_dir_all(root.path().join("app/target")).unwrap();
            drop(root);
            let hash = match path.starts_with("app/") {
                true => {
                    let root = project();
                    fs::create_dir_all(root.path().join("app/target")).unwrap();
                    fs::write(root.path().join(path), to).unwrap();
                    hash_of(root.path())
                }
                false => after(path, from, to),
            };
            assert_eq!(hash, before, "{path}");
        }
    }

    #[test]
    fn the_binary_is_the_only_one_or_the_default() {
        let bin = |text: &str| default_bin(&toml::from_str(text).unwrap(), "app");
        assert_eq!(bin(""), "app");
        assert_eq!(bin("[[bin]]\nname = \"server\"\n"), "server");
        assert_eq!(bin("[[bin]]\nname = \"a\"\n[[bin]]\nname = \"b\"\n"), "app");
        assert_eq!(
            bin("[package]\ndefault-run = \"b\"\n[[bin]]\nname = \"a\"\n"),
            "b"
        );
    }

    #[test]
    fn crates_that_depend_on_each_other_do_not_hang() {
        let root = project();
        fs::write(
            root.path().join("lib/Cargo.toml"),
            "[package]\nname = \"lib\"\n[dependencies]\napp = { path = \"../app\" }\n",
        )
        .unwrap();
        assert_eq!(hash_of(root.path()).len(), 64);
    }

    #[test]
    fn a_missing_dependency_is_named() {
        let root = project();
        fs::remove_dir_all(root.path().join("lib")).unwrap();
        let error = sources(&root.path().join("app"), true).unwrap_err();
        assert!(error.to_string().contains("lib"), "{error}");
    }
}
