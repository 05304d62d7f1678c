//! The kernel modules that a node needs, in the order in which they can be loaded.
//!
//! A package does not have `modules.dep`, which is made at its installation; so the dependencies are
//! read from the modules themselves, where the kernel's build leaves them in a section `.modinfo`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::artifact::error::ArtifactError;

/// The largest module that is read, in bytes after decompression.
const SIZE_LIMIT: u64 = 64 << 20;

/// The endings of modules' names; Debian compresses them since 2025.
const ENDINGS: &[&str] = &[".ko", ".ko.xz", ".ko.zst", ".ko.gz"];

/// A module as it goes into the guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Module {
    /// Its name, with `_` for `-`.
    pub name: String,
    /// The ELF file, uncompressed.
    pub content: Vec<u8>,
}

/// All modules of a kernel.
#[derive(Debug)]
pub(super) struct Modules {
    /// Where each module is.
    files: BTreeMap<String, PathBuf>,
    /// The modules that are part of the kernel itself.
    built_in: BTreeSet<String>,
    /// The directory, for messages.
    directory: PathBuf,
}

impl Modules {
    /// Lists the modules below `lib/modules/<version>` of a tree with exactly one version.
    ///
    /// # Errors
    /// A directory cannot be read.
    pub(super) fn open(tree: &Path) -> Result<Self, ArtifactError> {
        let mut modules = Self {
            files: BTreeMap::new(),
            built_in: BTreeSet::new(),
            directory: tree.join("lib/modules"),
        };
        let mut pending = vec![modules.directory.clone()];
        while let Some(directory) = pending.pop() {
            let failed = || ArtifactError::io("read", &directory);
            for entry in fs::read_dir(&directory).map_err(failed())? {
                let entry = entry.map_err(failed())?;
                let name = entry.file_name().to_string_lossy().into_owned();
                let path = entry.path();
                // Links such as `build` lead out of the tree.
                if entry.file_type().map_err(failed())?.is_dir() {
                    pending.push(path);
                } else if name == "modules.builtin" {
                    let text =
                        fs::read_to_string(&path).map_err(ArtifactError::io("read", &path))?;
                    modules
                        .built_in
                        .extend(text.lines().filter_map(module_name));
                } else if let Some(module) = module_name(&name) {
                    modules.files.insert(module, path);
                }
            }
        }
        Ok(modules)
    }

    /// The wanted modules with what they depend on, each after its dependencies. Modules that are
    /// part of the kernel are left out.
    ///
    /// # Errors
    /// A module is missing, cannot be read, or is damaged.
    pub(super) fn in_order(&self, wanted: &[&str]) -> Result<Vec<Module>, ArtifactError> {
        let mut order = Vec::new();
        let mut seen = BTreeSet::new();
        // Each module is visited twice: first its dependencies are put before it, then it is taken.
        let mut pending: Vec<Visit> = wanted
            .iter()
            .rev()
            .map(|n| Visit::First(normal(n)))
            .collect();
        while let Some(visit) = pending.pop() {
            let name = match visit {
                Visit::Last(module) => {
                    order.push(module);
                    continue;
                }
                Visit::First(name) => name,
            };
            if self.built_in.contains(&name) || !seen.insert(name.clone()) {
                continue;
            }
            let module = self.load(&name)?;
            let depends = depends(&module.content).ok_or_else(|| self.damaged(&name))?;
            pending.push(Visit::Last(module));
            pending.extend(depends.into_iter().rev().map(Visit::First));
        }
        Ok(order)
    }

    fn load(&self, name: &str) -> Result<Module, ArtifactError> {
        let path = self
            .files
            .get(name)
            .ok_or_else(|| ArtifactError::NoModule {
                module: name.to_owned(),
                directory: self.directory.clone(),
            })?;
        let content = read(path).map_err(ArtifactError::io("read", path))?;
        Ok(Module {
            name: name.to_owned(),
            content,
        })
    }

    fn damaged(&self, name: &str) -> ArtifactError {
        let path = self.files.get(name).unwrap_or(&self.directory);
        ArtifactError::io("understand", path)(std::io::Error::other(
            "it is not a 64-bit ELF file with a section .modinfo",
        ))
    }
}

/// A step of the search.
enum Visit {
    /// The module has not been looked at.
    First(String),
    /// All that the module depends on is in order.
    Last(Module),
}

fn normal(name: &str) -> String {
    name.replace('-', "_")
}

/// The module that a file name or path stands for.
fn module_name(path: &str) -> Option<String> {
    let file = path.rsplit('/').next()?;
    let stem = ENDINGS.iter().find_map(|end| file.strip_suffix(end))?;
    Some(normal(stem))
}

fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    let file = fs::File::open(path)?;
    let mut reader: Box<dyn Read> = match path.extension().and_then(|e| e.to_str()) {
        Some("xz") => Box::new(liblzma::read::XzDecoder::new(file)),
        Some("zst") => Box::new(zstd::Decoder::new(file)?),
        Some("gz") => Box::new(flate2::read::GzDecoder::new(file)),
        _ => Box::new(file),
    };
    let mut content = Vec::new();
    let length = reader
        .by_ref()
        .take(SIZE_LIMIT + 1)
        .read_to_end(&mut content)?;
    if length as u64 > SIZE_LIMIT {
        return Err(std::io::Error::other("the module is too large"));
    }
    Ok(content)
}

/// The modules that a module names in `depends=` of its section `.modinfo` (ELF-64 section headers;
/// the section is a list of zero-terminated `key=value`). None if it is no such file.
fn depends(elf: &[u8]) -> Option<Vec<String>> {
    let section = modinfo(elf)?;
    let value = section
        .split(|&byte| byte == 0)
        .find_map(|entry| entry.strip_prefix(b"depends="))?;
    let names = std::str::from_utf8(value).ok()?.split(',');
    Some(names.filter(|n| !n.is_empty()).map(normal).collect())
}

fn modinfo(elf: &[u8]) -> Option<&[u8]> {
    if !elf.starts_with(b"\x7fELF\x02\x01") {
        return None;
    }
    let number = |at: usize, length: usize| -> Option<usize> {
        let bytes = elf.get(at..at.checked_add(length)?)?;
        let value = bytes
            .iter()
            .rev()
            .fold(0u64, |all, &byte| all << 8 | u64::from(byte));
        usize::try_from(value).ok()
    };
    let (table, size) = (number(0x28, 8)?, number(0x3a, 2)?);
    let (count, names) = (number(0x3c, 2)?, number(0x3e, 2)?);
    let header = |index: usize| table.checked_add(index.checked_mul(size)?);
    let content = |index: usize| -> Option<&[u8]> {
        let at = header(index)?;
        let (offset, length) = (
            number(at.checked_add(0x18)?, 8)?,
            number(at.checked_add(0x20)?, 8)?,
        );
        elf.get(offset..offset.checked_add(length)?)
    };
    let names = content(names)?;
    (0..count).find_map(|index| {
        let name = names.get(number(header(index)?, 4)?..)?;
        name.starts_with(b".modinfo\0").then(|| content(index))?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An ELF file with only a section `.modinfo`.
    fn elf(depends: &str) -> Vec<u8> {
        let info = format!("license=GPL\0depends={depends}\0name=x\0");
        let names = b"\0.modinfo\0";
        let mut file = b"\x7fELF\x02\x01".to_vec();
        file.resize(64, 0);
        let info_at = file.len();
        file.extend(info.bytes());
        let names_at = file.len();
        file.extend(names);
        let table = file.len() as u64;
        file[0x28..0x30].copy_from_slice(&table.to_le_bytes());
        file[0x3a] = 64;
        file[0x3c] = 2;
        file[0x3e] = 1;
        for (name, offset, length) in [(1u32, info_at, info.len()), (0, names_at, names.len())] {
            let mut header = [0u8; 64];
            header[..4].copy_from_slice(&name.to_le_bytes());
            header[0x18..0x20].copy_from_slice(&(offset as u64).to_le_bytes());
            header[0x20..0x28].copy_from_slice(&(length as u64).to_le_bytes());
            file.extend(header);
        }
        file
    }

    fn tree(modules: &[(&str, &str)], built_in: &str) -> tempfile::TempDir {
        let tree = tempfile::tempdir().unwrap();
        let root = tree.path().join("lib/modules/6.1");
        for (path, depends) in modules {
            let path = root.join("kernel").join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, elf(depends)).unwrap();
        }
        fs::create_dir_all(&root).unwrap();
        fs::write(root.join("modules.builtin"), built_in).unwrap();
        tree
    }

    fn names(modules: &[Module]) -> Vec<&str> {
        modules.iter().map(|m| m.name.as_str()).collect()
    }

    #[test]
    fn modules_come_after_what_they_depend_on() {
        let tree = tree(
            &[
                ("net/virtio-net.ko", "virtio,net_failover"),
                ("net/net_failover.ko", "failover"),
                ("net/failover.ko", ""),
                ("virtio.ko", "virtio_ring"),
                ("virtio_ring.ko", ""),
            ],
            "",
        );
        let modules = Modules::open(tree.path()).unwrap();
        let order = modules.in_order(&["virtio_net", "virtio"]).unwrap();
        assert_eq!(
            names(&order),
            [
                "virtio_ring",
                "virtio",
                "failover",
                "net_failover",
                "virtio_net"
            ]
        );
    }

    #[test]
    fn modules_that_are_part_of_the_kernel_are_not_loaded() {
        let tree = tree(&[("a.ko", "ext4")], "kernel/fs/ext4/ext4.ko\n");
        let modules = Modules::open(tree.path()).unwrap();
        assert_eq!(names(&modules.in_order(&["ext4", "a"]).unwrap()), ["a"]);
    }

    #[test]
    fn modules_that_depend_on_each_other_do_not_hang() {
        let tree = tree(&[("a.ko", "b"), ("b.ko", "a")], "");
        let modules = Modules::open(tree.path()).unwrap();
        assert_eq!(modules.in_order(&["a"]).unwrap().len(), 2);
    }

    #[test]
    fn a_missing_module_is_named() {
        let tree = tree(&[("a.ko", "gone")], "");
        let error = Modules::open(tree.path()).unwrap().in_order(&["a"]);
        assert!(
            matches!(&error, Err(ArtifactError::NoModule { module, .. }) if module == "gone"),
            "{error:?}"
        );
    }

    #[test]
    fn a_damaged_module_is_an_error() {
        let good = elf("a");
        assert_eq!(depends(&good), Some(vec!["a".to_owned()]));
        for length in 0..good.len() {
            let cut = depends(&good[..length]);
            // The end of the last header is not needed.
            assert!(cut.is_none() || length > good.len() - 64, "{length}");
        }
        for at in 0x28..0x40 {
            let mut bad = good.clone();
            bad[at] = 0xff;
            let _ = depends(&bad);
        }
    }

    #[test]
    fn compressed_modules_are_decompressed() {
        let tree = tree(&[], "");
        let root = tree.path().join("lib/modules/6.1");
        fs::write(
            root.join("a.ko.zst"),
            zstd::encode_all(&elf("")[..], 1).unwrap(),
        )
        .unwrap();
        let mut xz = liblzma::read::XzEncoder::new(std::io::Cursor::new(elf("a")), 1);
        let mut packed = Vec::new();
        xz.read_to_end(&mut packed).unwrap();
        fs::write(root.join("b.ko.xz"), packed).unwrap();
        let mut gz =
            flate2::read::GzEncoder::new(std::io::Cursor::new(elf("b")), Default::default());
        let mut packed = Vec::new();
        gz.read_to_end(&mut packed).unwrap();
        fs::write(root.join("c.ko.gz"), packed).unwrap();
        let order = Modules::open(tree.path())
            .unwrap()
            .in_order(&["c"])
            .unwrap();
        assert_eq!(names(&order), ["a", "b", "c"]);
        assert_eq!(order[0].content, elf(""));
    }
}
