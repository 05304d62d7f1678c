//! What a node of a plan boots: its kernel, its initial RAM disk, its command line, and its disks.
//!
//! ```text
//! /init                       chaosrun-init, static
//! /.chaosrun/modules/*.ko     the kernel's drivers for the machine's devices
//! /.chaosrun/modules/order    their paths, in the order in which init loads them
//! /.chaosrun/bin/<guest>      the programs of guests that are crates or binaries
//! ```
//! The tree of a directory guest is the root itself, and added files are where the plan says. A guest
//! that is a whole initial RAM disk keeps its own `/init`; only programs and files are added to it, and
//! what our init would have asked the machine for, as `/.chaosrun/node.json`.
//!
//! The same plan and the same artifacts give the same bytes, and nodes that are alike have the same archive;
//! nothing is compressed, since decompression costs the guest time.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::disk_image::DiskFile;
use super::error::ArtifactError;
use super::guest;
use super::initrd::{Compression, Initrd};
use super::{Kernel, Store};
use crate::plan::Origins;
use crate::plan::kernel::KernelName;
use crate::plan::model::{
    AddedFile, Artifact, Disk, DiskSource, FileContent, Filesystem, Guest, Node, Plan, Program,
};

mod config;
mod content;
mod modules;

#[cfg(test)]
mod tests;

use content::Contents;
use modules::{Module, Modules};

/// What a node boots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeImage {
    /// The node's name.
    pub node: String,
    /// An ELF vmlinux or a bzImage.
    pub kernel: Arc<[u8]>,
    /// The kernel's BLAKE3 hash in hexadecimal digits.
    pub kernel_hash: String,
    /// The initial RAM disk.
    pub initrd: Arc<[u8]>,
    /// The initial RAM disk's BLAKE3 hash in hexadecimal digits.
    pub initrd_hash: String,
    /// What init is told when it asks who it is, see [`chaosrun_protocol::node::NodeConfig`]; none if the
    /// guest has an init of its own.
    pub identity: Option<Arc<[u8]>>,
    /// The kernel's command line.
    pub cmdline: String,
    /// The disks, in the order of `/dev/vda`, `/dev/vdb`, ...
    pub disks: Vec<DiskImage>,
}

/// A disk as it is when the node is switched on for the first time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskImage {
    /// Its name, which is also the serial number.
    pub name: String,
    /// Its size, a multiple of 512.
    pub size_bytes: u64,
    /// What it begins with; the rest is zeros. Disks of the same file share it.
    pub content: DiskContent,
    /// Whether writes are refused.
    pub read_only: bool,
    /// Whether writes wait in a volatile cache for a flush.
    pub writeback: bool,
}

/// What a disk begins with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DiskContent {
    /// Zeros.
    Blank,
    /// These bytes.
    Bytes(Arc<[u8]>),
    /// What is in a file, which stays there.
    File(Arc<DiskFile>),
}

impl NodeImage {
    /// Makes sure that the files under the disks still are what they were when they were hashed; what
    /// came of a run is to be believed only if they are behind it, too.
    ///
    /// # Errors
    /// One of them has changed or could not be read.
    pub fn verify(&self) -> Result<(), ArtifactError> {
        self.disks.iter().try_for_each(|disk| match &disk.content {
            DiskContent::File(file) => file.verify(),
            DiskContent::Blank | DiskContent::Bytes(_) => Ok(()),
        })
    }
}

/// Makes the images of all nodes of a plan, in the plan's order. What is missing is fetched and built.
///
/// # Errors
/// An artifact is not available, has changed since the plan was made, or does not fit.
pub fn node_images(
    store: &Store,
    plan: &Plan,
    origins: &Origins,
) -> Result<Vec<NodeImage>, ArtifactError> {
    let mut images = Images::new(store, plan, origins);
    plan.nodes.iter().map(|node| images.node(node)).collect()
}

/// Makes images of nodes and keeps what they share.
pub struct Images<'a> {
    store: &'a Store,
    plan: &'a Plan,
    contents: Contents<'a>,
    /// Kernels by the hash that the plan has for them.
    kernels: BTreeMap<String, Arc<Loaded>>,
    /// Programs of crates and binaries, by guest.
    programs: BTreeMap<String, Arc<[u8]>>,
    init: Option<Arc<[u8]>>,
    /// Empty file systems by size.
    formatted: BTreeMap<u64, Arc<[u8]>>,
    /// All of an initial RAM disk but the node's own part, by what it was made of.
    shared: BTreeMap<String, Arc<Shared>>,
}

/// A kernel in memory.
struct Loaded {
    kernel: Kernel,
    bytes: Arc<[u8]>,
}

/// What like nodes share.
struct Shared {
    /// The archive, to which a node's own is appended if it can't ask.
    archive: Arc<[u8]>,
    /// Its hash.
    hash: blake3::Hash,
    /// Whether its init asks who it is.
    asks: bool,
    /// The program and the first arguments of each guest.
    commands: BTreeMap<String, Vec<String>>,
}

/// The file systems of which a node can have only one.
enum Whole<'a> {
    /// An initial RAM disk with an init of its own.
    Initrd(&'a Artifact),
    /// A directory tree.
    Tree(&'a Artifact),
    /// A tree of packages.
    Packages(&'a [String], &'a Artifact),
    /// None: only programs.
    Nothing,
}

impl<'a> Images<'a> {
    /// Without any image yet.
    #[must_use]
    pub fn new(store: &'a Store, plan: &'a Plan, origins: &'a Origins) -> Self {
        Self {
            store,
            plan,
            contents: Contents::new(origins, store.root().join("known")),
            kernels: BTreeMap::new(),
            programs: BTreeMap::new(),
            init: None,
            formatted: BTreeMap::new(),
            shared: BTreeMap::new(),
        }
    }

    /// Makes the image of a node of the plan.
    ///
    /// # Errors
    /// Those of [`node_images`].
    pub fn node(&mut self, node: &Node) -> Result<NodeImage, ArtifactError> {
        let kernel = self.kernel(node)?;
        let shared = self.shared(node, &kernel)?;
        let config = config::node_config(self.plan, node, &shared.commands).to_json();
        let (archive, hash, identity) = if shared.asks {
            let archive = Arc::clone(&shared.archive);
            (archive, shared.hash, Some(config.into_bytes().into()))
        } else {
            let mut own = Initrd::new();
            own.file(chaosrun_protocol::node::PATH, 0o644, config)?;
            let mut archive = shared.archive.to_vec();
            archive.extend(own.build(Compression::None)?);
            let hash = blake3::hash(&archive);
            (archive.into(), hash, None)
        };
        check_memory(node, archive.len() as u64)?;
        let disks = node
            .disks
            .iter()
            .map(|disk| self.disk(disk))
            .collect::<Result<_, _>>()?;
        Ok(NodeImage {
            node: node.name.clone(),
            kernel: Arc::clone(&kernel.bytes),
            kernel_hash: kernel.kernel.hash.clone(),
            initrd_hash: hash.to_hex().to_string(),
            initrd: archive,
            identity,
            cmdline: config::cmdline(node),
            disks,
        })
    }

    /// The node's kernel, which has to be the one that the plan means.
    fn kernel(&mut self, node: &Node) -> Result<Arc<Loaded>, ArtifactError> {
        let wanted = &node.kernel.image;
        if let Some(loaded) = self.kernels.get(wanted.hash()) {
            return Ok(Arc::clone(loaded));
        }
        let name = &node.kernel.artifact();
        let loaded = if node.kernel.name == KernelName::File {
            let bytes = self.contents.file(wanted, "a kernel")?;
            let kernel = Kernel {
                name: name.clone(),
                path: self.contents.path(wanted, "a kernel")?,
                hash: wanted.hash().to_owned(),
                bytes: bytes.len() as u64,
                version: None,
                modules: None,
            };
            Loaded { kernel, bytes }
        } else {
            let kernel = self.store.kernel(name)?;
            let same = match wanted {
                Artifact::Content { blake3, .. } => *blake3 == kernel.hash,
                Artifact::Recipe { blake3, .. } => {
                    super::kernel_recipe(name).as_ref() == Some(blake3)
                }
            };
            if !same {
                return Err(ArtifactError::OtherKernel { name: name.clone() });
            }
            let bytes = kernel.read()?.into();
            Loaded { kernel, bytes }
        };
        let loaded = Arc::new(loaded);
        self.kernels
            .insert(wanted.hash().to_owned(), Arc::clone(&loaded));
        Ok(loaded)
    }

    fn shared(&mut self, node: &Node, kernel: &Loaded) -> Result<Arc<Shared>, ArtifactError> {
        let guests: Vec<&str> = node.workloads.iter().map(|w| w.guest.as_str()).collect();
        let initrd = node.kernel.initrd.as_ref().map(Artifact::hash);
        let devices = (!node.disks.is_empty(), !node.nics.is_empty());
        let key =
            serde_json::to_string(&(&kernel.kernel.hash, initrd, guests, devices, &node.files))
                .unwrap_or_default();
        if let Some(shared) = self.shared.get(&key) {
            return Ok(Arc::clone(shared));
        }
        let shared = Arc::new(self.make_shared(node, kernel)?);
        self.shared.insert(key, Arc::clone(&shared));
        Ok(shared)
    }

    fn make_shared(&mut self, node: &Node, kernel: &Loaded) -> Result<Shared, ArtifactError> {
        let plan = self.plan;
        let guests: Vec<(&str, &Guest)> = node
            .workloads
            .iter()
            .filter_map(|w| Some((w.guest.as_str(), plan.guests.get(&w.guest)?)))
            .collect();
        let whole = whole(&guests);
        let mut archives: Vec<Arc<[u8]>> = Vec::new();
        if let Some(initrd) = &node.kernel.initrd {
            archives.push(self.contents.file(initrd, "an initial RAM disk")?);
        }
        let mut root = Initrd::new();
        let asks = !matches!(whole, Whole::Initrd(_));
        if let Whole::Initrd(file) = whole {
            archives.push(self.contents.file(file, "an initial RAM disk")?);
        } else {
            match whole {
                Whole::Tree(tree) => root.tree(&self.contents.tree(tree)?)?,
                Whole::Packages(names, tree) => {
                    root.tree(&super::packages::verified(self.store, names, tree)?)?;
                }
                Whole::Initrd(_) | Whole::Nothing => {}
            }
            add_modules(&mut root, node, kernel)?;
            root.console()?;
            let init = self.init()?;
            root.file("init", 0o755, init.to_vec())?;
        }
        let mut commands = BTreeMap::new();
        for (name, guest) in guests {
            if let Some(command) = self.add_guest(&mut root, name, guest)? {
                commands.insert(name.to_owned(), command);
            }
        }
        for file in &node.files {
            self.add_file(&mut root, file)?;
        }
        archives.push(root.build(Compression::None)?.into());
        let archive: Arc<[u8]> = concatenated(&archives).into();
        Ok(Shared {
            hash: blake3::hash(&archive),
            archive,
            asks,
            commands,
        })
    }

    /// Adds a guest's program and files, and tells what init has to start, if anything.
    fn add_guest(
        &mut self,
        root: &mut Initrd,
        name: &str,
        guest: &Guest,
    ) -> Result<Option<Vec<String>>, ArtifactError> {
        let command = match &guest.program {
            Program::Crate { .. } | Program::Binary { .. } => {
                let program = self.program(name, guest)?;
                guest::check_program(name, &program, |path| root.contains(path))?;
                let path = format!("{}/{name}", chaosrun_protocol::node::BIN);
                root.file(&path, 0o755, program.to_vec())?;
                Some(vec![path])
            }
            Program::Directory { .. } | Program::Packages { .. } => {
                let has = |path: &str| root.contains(path);
                Some(guest::tree_command(name, &guest.command, has)?)
            }
            Program::Initrd { .. } => None,
        };
        for file in &guest.files {
            self.add_file(root, file)?;
        }
        Ok(command)
    }

    fn add_file(&mut self, root: &mut Initrd, file: &AddedFile) -> Result<(), ArtifactError> {
        match &file.content {
            FileContent::Text(text) => root.file(&file.path, file.mode, text.as_bytes())?,
            FileContent::Artifact(artifact) => {
                let content = self.contents.file(artifact, "a file")?;
                root.file(&file.path, file.mode, content.to_vec())?;
            }
        }
        Ok(())
    }

    /// The executable of a guest that is a crate or a binary.
    fn program(&mut self, name: &str, guest: &Guest) -> Result<Arc<[u8]>, ArtifactError> {
        if let Some(program) = self.programs.get(name) {
            return Ok(Arc::clone(program));
        }
        let program = match &guest.program {
            Program::Crate {
                source,
                bin,
                features,
            } => {
                let wanted = guest::Crate {
                    folder: self.contents.path(source, "the crate")?,
                    source: Some(source.hash().to_owned()),
                    bin: bin.clone(),
                    features: features.clone(),
                };
                guest::build(self.store, &wanted)?.into()
            }
            Program::Binary { file } | Program::Initrd { file } => {
                self.contents.file(file, "a program")?
            }
            Program::Directory { tree } | Program::Packages { tree, .. } => {
                self.contents.file(tree, "a program")?
            }
        };
        self.programs.insert(name.to_owned(), Arc::clone(&program));
        Ok(program)
    }

    /// An empty file system of the disk's size.
    fn formatted(&mut self, disk: &Disk, kind: Filesystem) -> Result<Arc<[u8]>, ArtifactError> {
        if let Some(image) = self.formatted.get(&disk.size_bytes) {
            return Ok(Arc::clone(image));
        }
        let Filesystem::Ext4 = kind;
        let image: Arc<[u8]> = super::filesystem::ext4(self.store, disk.size_bytes)?.into();
        self.formatted.insert(disk.size_bytes, Arc::clone(&image));
        Ok(image)
    }

    fn init(&mut self) -> Result<Arc<[u8]>, ArtifactError> {
        if let Some(init) = &self.init {
            return Ok(Arc::clone(init));
        }
        let init: Arc<[u8]> = guest::init(self.store)?.into();
        self.init = Some(Arc::clone(&init));
        Ok(init)
    }

    fn disk(&mut self, disk: &Disk) -> Result<DiskImage, ArtifactError> {
        let content = match &disk.source {
            DiskSource::Blank => DiskContent::Blank,
            DiskSource::Formatted { filesystem } => {
                DiskContent::Bytes(self.formatted(disk, *filesystem)?)
            }
            DiskSource::Image { file } | DiskSource::Base { file } => {
                DiskContent::File(self.contents.disk(file)?)
            }
        };
        Ok(DiskImage {
            name: disk.name.clone(),
            size_bytes: disk.size_bytes,
            content,
            read_only: disk.read_only,
            writeback: disk.writeback,
        })
    }
}

/// The file system of a node, of which the plan has made sure that there is only one.
fn whole<'a>(guests: &[(&str, &'a Guest)]) -> Whole<'a> {
    let of = |guest: &'a Guest| match &guest.program {
        Program::Initrd { file } => Some(Whole::Initrd(file)),
        Program::Directory { tree } => Some(Whole::Tree(tree)),
        Program::Packages { packages, tree } => Some(Whole::Packages(packages, tree)),
        Program::Crate { .. } | Program::Binary { .. } => None,
    };
    guests
        .iter()
        .find_map(|(_, guest)| of(guest))
        .unwrap_or(Whole::Nothing)
}

/// Adds the drivers of the devices that the node has, and the list of them.
fn add_modules(root: &mut Initrd, node: &Node, kernel: &Loaded) -> Result<(), ArtifactError> {
    let Some(tree) = &kernel.kernel.modules else {
        return Ok(());
    };
    let mut wanted = vec!["virtio_mmio", "virtio_console", "virtio_rng"];
    if !node.disks.is_empty() {
        wanted.push("virtio_blk");
    }
    if !node.nics.is_empty() {
        wanted.push("virtio_net");
    }
    let mut order = String::new();
    for Module { name, content } in Modules::open(tree)?.in_order(&wanted)? {
        let path = format!("/.chaosrun/modules/{name}.ko");
        root.file(&path, 0o644, content)?;
        order += &path;
        order.push('\n');
    }
    root.file(chaosrun_protocol::node::MODULES, 0o644, order)?;
    Ok(())
}

/// Archives one after the other, each at a multiple of four bytes as Linux wants it.
fn concatenated(archives: &[Arc<[u8]>]) -> Vec<u8> {
    let mut all = Vec::with_capacity(archives.iter().map(|a| a.len() + 4).sum());
    for archive in archives {
        all.extend_from_slice(archive);
        all.resize(all.len().next_multiple_of(4), 0);
    }
    all
}

/// Linux unpacks the archive into a file system that may take half of the memory, and has the
/// archive itself in memory meanwhile.
fn check_memory(node: &Node, initrd_bytes: u64) -> Result<(), ArtifactError> {
    if initrd_bytes <= node.memory_bytes / 5 * 2 {
        return Ok(());
    }
    Err(ArtifactError::Memory {
        node: node.name.clone(),
        memory_bytes: node.memory_bytes,
        initrd_bytes,
    })
}
