//! What the packages' `Cargo.toml` say.

use toml::{Table, Value};

use crate::sources::Sources;

/// A package.
pub struct Manifest<'a> {
    /// The path of its `Cargo.toml`.
    pub path: &'a str,
    pub name: String,
    pub dependencies: Vec<Dependency>,
}

/// A dependency of a package.
pub struct Dependency {
    pub name: String,
    pub kind: Kind,
    /// Whether it is the workspace's.
    pub inherited: bool,
}

/// What needs a dependency.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Normal,
    Development,
    Build,
}

impl Manifest<'_> {
    /// The package's folder.
    pub fn folder(&self) -> &str {
        self.path.rsplit_once('/').map_or("", |(folder, _)| folder)
    }
}

/// All packages, also those that are in no workspace.
pub fn packages(sources: &Sources) -> Vec<Manifest<'_>> {
    manifests(sources)
        .filter_map(|(path, table)| {
            let name = table.get("package")?.get("name")?.as_str()?.to_owned();
            Some(Manifest {
                path,
                name,
                dependencies: dependencies(&table),
            })
        })
        .collect()
}

/// The path of the workspace's `Cargo.toml`, and the dependencies that packages can take from there.
pub fn workspace(sources: &Sources) -> Option<(&str, Vec<String>)> {
    manifests(sources).find_map(|(path, table)| {
        let offered = table.get("workspace")?.get("dependencies")?.as_table()?;
        Some((path, offered.keys().cloned().collect()))
    })
}

fn manifests(sources: &Sources) -> impl Iterator<Item = (&str, Table)> {
    let files = sources
        .all()
        .filter(|file| file.path.ends_with("Cargo.toml"));
    files.map(|file| {
        let table = file
            .text
            .parse()
            .unwrap_or_else(|problem| panic!("{}: {problem}", file.path));
        (file.path.as_str(), table)
    })
}

fn dependencies(table: &Table) -> Vec<Dependency> {
    let targets = table.get("target").and_then(Value::as_table);
    let targets = targets
        .into_iter()
        .flat_map(Table::values)
        .filter_map(Value::as_table);
    let mut found = Vec::new();
    for table in targets.chain([table]) {
        for (section, kind) in [
            ("dependencies", Kind::Normal),
            ("dev-dependencies", Kind::Development),
            ("build-dependencies", Kind::Build),
        ] {
            let section = table.get(section).and_then(Value::as_table);
            found.extend(
                section
                    .into_iter()
                    .flatten()
                    .map(|(name, value)| Dependency {
                        name: name.clone(),
                        kind,
                        inherited: value.get("workspace").and_then(Value::as_bool) == Some(true),
                    }),
            );
        }
    }
    found
}
