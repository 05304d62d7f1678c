//! Empty file systems for disks, made by the host's mke2fs with everything fixed that it would draw
//! or look up: identifiers, times and features. The same mke2fs makes the same bytes.

use std::fs;
use std::path::Path;

use super::error::ArtifactError;
use super::{Product, Store, Workshop, tools};

/// What of a file system is a matter of taste, instead of the host's /etc/mke2fs.conf.
const CONFIG: &str = "\
[defaults]
base_features = sparse_super,large_file,filetype,resize_inode,dir_index,ext_attr
default_mntopts = acl,user_xattr
enable_periodic_fsck = 0
blocksize = 4096
inode_size = 256
inode_ratio = 16384

[fs_types]
ext4 = {
features = has_journal,extent,huge_file,flex_bg,metadata_csum,64bit,dir_nlink,extra_isize
}
";

/// The file system's identifier, and what its directories' hashes begin with.
const IDENTIFIER: &str = "63686161-6f73-4275-8e00-000000000001";

/// When it was made: 2026-01-01, in seconds of Unix time.
const TIME: &str = "1767225600";

/// Where Debian has mke2fs, which is not on every user's path.
const PLACES: &[&str] = &["/usr/sbin", "/sbin"];

/// An empty ext4 of this size in bytes, without the zeros at its end.
///
/// # Errors
/// mke2fs is missing or fails.
pub(super) fn ext4(store: &Store, size_bytes: u64) -> Result<Vec<u8>, ArtifactError> {
    let program = program()?;
    let mut hasher = blake3::Hasher::new();
    for part in ["ext4 1", CONFIG, IDENTIFIER, TIME, &version(&program)?] {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part.as_bytes());
    }
    let recipe = hasher.finalize().to_hex().to_string();
    let path = store.obtain(&format!("ext4-{size_bytes}"), &recipe, &|workshop| {
        format(&program, size_bytes, workshop)
    })?;
    fs::read(&path).map_err(ArtifactError::io("read", &path))
}

fn program() -> Result<String, ArtifactError> {
    if tools::is_installed("mke2fs") {
        return Ok("mke2fs".to_owned());
    }
    let mut places = PLACES.iter().map(|place| format!("{place}/mke2fs"));
    places
        .find(|path| Path::new(path).is_file())
        .ok_or_else(|| ArtifactError::MissingTools {
            what: "making an ext4 file system".to_owned(),
            missing: vec!["`mke2fs`".to_owned()],
            packages: vec!["e2fsprogs".to_owned()],
        })
}

fn version(program: &str) -> Result<String, ArtifactError> {
    let output = tools::output(tools::command(program).arg("-V"))
        .map_err(ArtifactError::io("run", Path::new(program)))?;
    Ok(String::from_utf8_lossy(&output.stderr).into_owned())
}

fn format(
    program: &str,
    size_bytes: u64,
    workshop: &Workshop<'_>,
) -> Result<Product, ArtifactError> {
    let config = workshop.scratch.join("mke2fs.conf");
    fs::write(&config, CONFIG).map_err(ArtifactError::io("write", &config))?;
    let file = workshop.scratch.join("image");
    fs::File::create(&file)
        .and_then(|image| image.set_len(size_bytes))
        .map_err(ArtifactError::io("write", &file))?;
    let settings = format!(
        "hash_seed={IDENTIFIER},lazy_itable_init=0,lazy_journal_init=0,nodiscard,root_owner=0:0"
    );
    let mut command = tools::command(program);
    command
        .env("MKE2FS_CONFIG", &config)
        .env("E2FSPROGS_FAKE_TIME", TIME)
        .env("SOURCE_DATE_EPOCH", TIME)
        .env("TZ", "UTC")
        .args([
            "-t", "ext4", "-q", "-F", "-m", "0", "-U", IDENTIFIER, "-E", &settings,
        ])
        .arg(&file);
    tools::run_logged("making an ext4 file system", &mut command, workshop)?;
    // What is behind the content is zeros anyway, and most of a file system is.
    let mut image = fs::read(&file).map_err(ArtifactError::io("read", &file))?;
    let end = image
        .iter()
        .rposition(|&byte| byte != 0)
        .map_or(0, |last| last + 1);
    image.truncate(end.next_multiple_of(4096).min(image.len()));
    fs::write(&file, image).map_err(ArtifactError::io("write", &file))?;
    Ok(Product {
        file,
        version: format!("{size_bytes} bytes"),
        tree: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_system_is_the_same_each_time() {
        let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let make = |root: &Path, size| ext4(&Store::at(root, Vec::new()), size).unwrap();
        let image = make(first.path(), 16 << 20);
        // The superblock's magic number, at 1024 + 0x38.
        assert_eq!(image[1080..1082], [0x53, 0xef]);
        assert_eq!(image, make(second.path(), 16 << 20));
        assert_eq!(image, make(first.path(), 16 << 20));
        assert!(image != make(first.path(), 32 << 20));
    }

    #[test]
    fn the_smallest_disk_has_a_file_system_too() {
        let root = tempfile::tempdir().unwrap();
        ext4(&Store::at(root.path(), Vec::new()), 2 << 20).unwrap();
    }

    #[test]
    fn a_disk_that_is_too_small_is_mke2fss_error() {
        let root = tempfile::tempdir().unwrap();
        let error = ext4(&Store::at(root.path(), Vec::new()), 4096).unwrap_err();
        assert!(matches!(error, ArtifactError::Build { .. }), "{error:?}");
    }
}
