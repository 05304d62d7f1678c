//! The store with sources that need neither network nor compiler.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use chaosrun_vmm::world::BootFiles;

use super::*;

/// A source whose kernel tells how often it was made.
struct Fake {
    name: &'static str,
    made: Arc<AtomicU32>,
    recipe: &'static str,
    tree: bool,
    delay: Duration,
    fails: bool,
}

impl Fake {
    fn new() -> Self {
        Self {
            name: "fake",
            made: Arc::default(),
            recipe: "r1",
            tree: false,
            delay: Duration::ZERO,
            fails: false,
        }
    }
}

impl Source for Fake {
    fn name(&self) -> &'static str {
        self.name
    }

    fn description(&self) -> &'static str {
        "a fake"
    }

    fn recipe(&self) -> String {
        self.recipe.to_owned()
    }

    fn produce(&self, workshop: &Workshop<'_>) -> Result<Product, ArtifactError> {
        let number = self.made.fetch_add(1, Ordering::SeqCst) + 1;
        std::thread::sleep(self.delay);
        let file = workshop.scratch.join("kernel");
        fs::write(&file, format!("kernel {number}")).unwrap();
        if self.fails {
            return Err(ArtifactError::NoPackage {
                package: "fake".to_owned(),
            });
        }
        let tree = self.tree.then(|| workshop.scratch.join("tree"));
        if let Some(tree) = &tree {
            fs::create_dir_all(tree.join("lib/modules")).unwrap();
        }
        Ok(Product {
            file,
            version: "1".to_owned(),
            tree,
        })
    }
}

fn store(root: &Path, fake: Fake) -> (Store, Arc<AtomicU32>) {
    let made = fake.made.clone();
    (Store::at(root, vec![Box::new(fake)]), made)
}

fn times(made: &AtomicU32) -> u32 {
    made.load(Ordering::SeqCst)
}

#[test]
fn a_kernel_is_made_once_and_then_found() {
    let root = tempfile::tempdir().unwrap();
    let (store, made) = store(root.path(), Fake::new());

    let first = store.kernel("fake").unwrap();
    let second = store.kernel("fake").unwrap();

    assert_eq!(first, second);
    assert_eq!(times(&made), 1);
    assert_eq!(first.read().unwrap(), b"kernel 1");
    assert_eq!(first.hash, blake3::hash(b"kernel 1").to_hex().as_str());
    assert_eq!(first.version.as_deref(), Some("1"));
}

#[test]
fn scratch_space_is_gone_afterwards() {
    let root = tempfile::tempdir().unwrap();
    let (store, _) = store(root.path(), Fake::new());
    store.kernel("fake").unwrap();
    assert_eq!(fs::read_dir(root.path().join("tmp")).unwrap().count(), 0);
}

#[test]
fn build_makes_it_anew() {
    let root = tempfile::tempdir().unwrap();
    let (store, _) = store(root.path(), Fake::new());
    let first = store.kernel("fake").unwrap();
    let second = store.build("fake").unwrap();
    assert_ne!(first.hash, second.hash);
    assert_eq!(store.kernel("fake").unwrap(), second);
}

#[test]
fn a_changed_recipe_makes_it_anew() {
    let root = tempfile::tempdir().unwrap();
    store(root.path(), Fake::new()).0.kernel("fake").unwrap();
    let (changed, made) = store(
        root.path(),
        Fake {
            recipe: "r2",
            ..Fake::new()
        },
    );
    assert_eq!(changed.list().unwrap()[0].kernel, None);
    changed.kernel("fake").unwrap();
    assert_eq!(times(&made), 1);
}

#[test]
fn a_damaged_object_is_noticed_and_made_anew() {
    let root = tempfile::tempdir().unwrap();
    let (store, made) = store(root.path(), Fake::new());
    let kernel = store.kernel("fake").unwrap();
    fs::remove_file(&kernel.path).unwrap();
    fs::write(&kernel.path, "kernel ?").unwrap();

    let changed = kernel.read();
    store.kernel("fake").unwrap();

    assert!(
        matches!(changed, Err(ArtifactError::Changed { .. })),
        "{changed:?}"
    );
    assert_eq!(times(&made), 2);
}

#[test]
fn a_damaged_index_is_noticed_and_made_anew() {
    let root = tempfile::tempdir().unwrap();
    let (store, made) = store(root.path(), Fake::new());
    for garbage in ["", "{", "[1]", r#"{"format":1}"#] {
        store.kernel("fake").unwrap();
        fs::write(root.path().join("index/fake.json"), garbage).unwrap();
        assert_eq!(store.list().unwrap()[0].kernel, None, "{garbage}");
    }
    store.kernel("fake").unwrap();
    assert_eq!(times(&made), 5);
}

#[test]
fn an_index_cannot_point_outside_of_the_cache() {
    let root = tempfile::tempdir().unwrap();
    let (store, _) = store(root.path(), Fake::new());
    store.kernel("fake").unwrap();
    let index = root.path().join("index/fake.json");
    let kernel = store.kernel("fake").unwrap();
    let text = fs::read_to_string(&index)
        .unwrap()
        .replace(&kernel.hash, "../../../etc/passwd");
    fs::write(&index, text).unwrap();
    assert_eq!(store.list().unwrap()[0].kernel, None);
}

#[test]
fn modules_are_kept_beside_the_kernel() {
    let root = tempfile::tempdir().unwrap();
    let (store, made) = store(
        root.path(),
        Fake {
            tree: true,
            ..Fake::new()
        },
    );
    let modules = store.kernel("fake").unwrap().modules.unwrap();
    assert!(modules.join("lib/modules").is_dir());

    fs::remove_dir_all(&modules).unwrap();
    store.kernel("fake").unwrap();
    assert_eq!(times(&made), 2, "a lost tree was not noticed");
}

#[test]
fn two_at_once_make_it_once() {
    let root = tempfile::tempdir().unwrap();
    let made = Arc::<AtomicU32>::default();
    let delay = Duration::from_millis(100);
    let kernels = std::thread::scope(|scope| {
        let threads = [(); 4].map(|()| {
            let fake = Fake {
                made: made.clone(),
                delay,
                ..Fake::new()
            };
            scope.spawn(|| store(root.path(), fake).0.kernel("fake").unwrap())
        });
        threads.map(|thread| thread.join().unwrap())
    });
    assert_eq!(times(&made), 1);
    assert!(kernels.iter().all(|kernel| *kernel == kernels[0]));
}

#[test]
fn a_failed_build_leaves_what_was_there() {
    let root = tempfile::tempdir().unwrap();
    let kernel = store(root.path(), Fake::new()).0.kernel("fake").unwrap();
    let (failing, _) = store(
        root.path(),
        Fake {
            fails: true,
            ..Fake::new()
        },
    );
    assert!(failing.build("fake").is_err());
    assert_eq!(failing.kernel("fake").unwrap(), kernel);
}

#[test]
fn clean_removes_everything_and_says_how_much() {
    let root = tempfile::tempdir().unwrap();
    let (store, made) = store(
        root.path(),
        Fake {
            tree: true,
            ..Fake::new()
        },
    );
    store.kernel("fake").unwrap();
    let boots = || StoredBoots::of(&store, |line| panic!("{line}")).unwrap();
    boots().store("one", &[7; 5000]);
    assert_eq!(boots().listed().count, 1);
    assert!(store.clean().unwrap() > 5008);
    assert_eq!(store.clean().unwrap(), 0);
    assert_eq!(boots().listed().count, 0);
    assert_eq!(store.list().unwrap()[0].kernel, None);
    store.kernel("fake").unwrap();
    assert_eq!(times(&made), 2);
}

#[test]
fn a_path_is_a_kernel_too() {
    let root = tempfile::tempdir().unwrap();
    let (store, _) = store(root.path(), Fake::new());
    let path = root.path().join("vmlinux");
    fs::write(&path, "mine").unwrap();

    let kernel = store.kernel(path.to_str().unwrap()).unwrap();
    assert_eq!(kernel.read().unwrap(), b"mine");
    fs::write(&path, "changed").unwrap();
    assert!(matches!(kernel.read(), Err(ArtifactError::Changed { .. })));
}

#[test]
fn a_directory_is_no_kernel() {
    let root = tempfile::tempdir().unwrap();
    let (store, _) = store(root.path(), Fake::new());
    let refused = store.kernel(root.path().to_str().unwrap());
    assert!(
        matches!(refused, Err(ArtifactError::NotAFile { .. })),
        "{refused:?}"
    );
}

#[test]
fn a_misspelt_name_is_answered_with_the_right_one() {
    let root = tempfile::tempdir().unwrap();
    let (store, _) = store(root.path(), Fake::new());
    let Err(ArtifactError::Unknown { advice, .. }) = store.kernel("fkae") else {
        panic!()
    };
    assert!(advice.starts_with("did you mean `fake`?"), "{advice}");
    let Err(ArtifactError::Unknown { advice, .. }) = store.build("other") else {
        panic!()
    };
    assert_eq!(advice, "the known names are fake");
}
