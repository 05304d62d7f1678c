//! `chaosrun artifact list|build|clean`.

use super::progress::say;
use super::{Exit, Failure, OrExit, interrupt};
use crate::artifact::{ArtifactError, Kernel, Progress, Store, StoredBoots};
use crate::outcome::text::shell_line;

/// List, build or remove kernels and other artifacts in the cache.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    action: Action,
}

/// What is done with the cache.
#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Show what there is, and where.
    List {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Fetch or build anew, also what the cache has already.
    Build {
        /// The names, as `artifact list` shows them, or another of Debian's kernels, e.g.
        /// `debian:suite=sid` or `debian:package=linux-image-rt-amd64,version=6.12*`.
        #[arg(required = true)]
        names: Vec<String>,
    },
    /// Remove everything from the cache.
    Clean,
}

impl Args {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let store = open_store()?;
        match self.action {
            Action::List { json } => list(&store, json),
            Action::Build { names } => build(&store, &names),
            Action::Clean => clean(&store),
        }
    }
}

/// Opens the cache to fetch and build what is missing. What is run for that ends with chaosrun.
pub(super) fn open_store() -> Result<Store, Failure> {
    interrupt::prepare();
    Store::open(Progress::detect()).or_exit(Exit::HostCannot)
}

/// The exit code for an artifact that is not available: a wrong name is the user's error, all else is
/// something that this host lacks.
pub(super) fn exit_of(error: &ArtifactError) -> Exit {
    match error {
        ArtifactError::Unknown { .. }
        | ArtifactError::BadChoice { .. }
        | ArtifactError::NotAFile { .. }
        | ArtifactError::TooLarge { .. } => Exit::Usage,
        _ => Exit::HostCannot,
    }
}

fn list(store: &Store, json: bool) -> Result<Exit, Failure> {
    let mut listed = store.list().or_exit(Exit::HostCannot)?;
    store
        .look_for_newer(&mut listed)
        .or_exit(Exit::HostCannot)?;
    if json {
        let rows: Vec<serde_json::Value> = listed
            .iter()
            .map(|item| {
                let kernel = item.kernel.as_ref();
                serde_json::json!({
                    "name": item.name,
                    "description": item.description,
                    "version": kernel.and_then(|kernel| kernel.version.as_deref()),
                    "newer": item.newer,
                    "hash": kernel.map(|kernel| &kernel.hash),
                    "bytes": kernel.map(|kernel| kernel.bytes),
                    "path": kernel.map(|kernel| kernel.path.display().to_string()),
                    "modules": kernel
                        .and_then(|kernel| kernel.modules.as_ref())
                        .map(|modules| modules.display().to_string()),
                })
            })
            .collect();
        super::print(&format!("{:#}\n", serde_json::Value::Array(rows)));
        return Ok(Exit::Passed);
    }
    let boots = StoredBoots::of(store, say)
        .or_exit(Exit::HostCannot)?
        .listed();
    for item in listed {
        super::print(&format!("{:<10} {}\n", item.name, item.description));
        match item.kernel {
            Some(kernel) => super::print(&format!("           {}\n", described(&kernel))),
            None => super::print("           not in the cache yet\n"),
        }
        if let Some(version) = item.newer {
            let command = shell_line(&["chaosrun", "artifact", "build", &item.name]);
            super::print(&format!("           {version} is newer: {command}\n"));
        }
    }
    super::print("boots      what kernels and initial RAM disks did before their first program\n");
    let (count, size) = (boots.count, boots.bytes.div_ceil(1 << 20));
    super::print(&format!("           {count} in the cache, {size} MiB\n"));
    Ok(Exit::Passed)
}

fn build(store: &Store, names: &[String]) -> Result<Exit, Failure> {
    for name in names {
        let kernel = store
            .build(name)
            .map_err(|error| Failure::new(exit_of(&error), error))?;
        super::print(&format!("{name}: {}\n", described(&kernel)));
    }
    Ok(Exit::Passed)
}

fn clean(store: &Store) -> Result<Exit, Failure> {
    let freed = store.clean().or_exit(Exit::HostCannot)?;
    super::print(&format!(
        "removed {} MiB from {}\n",
        freed >> 20,
        store.root().display()
    ));
    Ok(Exit::Passed)
}

/// Version, size, the start of the hash, and the path.
fn described(kernel: &Kernel) -> String {
    let version = kernel.version.as_deref().unwrap_or("unknown version");
    let size = kernel.bytes.div_ceil(1 << 20);
    let hash = kernel.hash.get(..12).unwrap_or(&kernel.hash);
    format!("{version}, {size} MiB, {hash}, {}", kernel.path.display())
}
