//! Files, kernels and crates: from a path in the scenario to a hash.

use std::path::{Path, PathBuf};

use super::{Lower, clip};
use crate::plan::artifacts::{KERNELS, Package, Problem};
use crate::plan::kernel::{self, KernelChoice, KernelName};
use crate::plan::model::{AddedFile, Artifact, FileContent, Kernel};
use crate::scenario::block::Block;
use crate::scenario::codes;
use crate::scenario::diag::Diag;
use crate::scenario::source::{Span, Spanned};
use crate::scenario::suggest::did_you_mean;

/// What came of hashing a path, with the name of a crate's program.
pub(super) type Hashed = Result<(String, Artifact), Problem>;

impl Lower<'_> {
    /// The artifact of a path under a key, if the key is written. `kind` is `file`, `disk`, `tree`
    /// or `crate`.
    pub(super) fn artifact(
        &mut self,
        block: &Block,
        key: &str,
        kind: &'static str,
    ) -> Option<(String, Artifact)> {
        let text = block.spanned_text(key)?;
        let text = Spanned::new(text.value.to_owned(), text.span);
        let path = self.resolve(&text);
        let hashed = match self.hashed.get(&(kind, path.clone())) {
            Some(hashed) => hashed.clone(),
            None => {
                let hashed = self.hash(kind, &path);
                self.hashed.insert((kind, path.clone()), hashed.clone());
                hashed
            }
        };
        match hashed {
            Ok((name, artifact)) => {
                self.origins.files.insert(artifact.hash().to_owned(), path);
                Some((name, artifact))
            }
            Err(problem) => {
                let (code, why) = match &problem {
                    Problem::Missing(why) => (codes::MISSING_FILE, why),
                    Problem::Wrong(why) => (codes::BAD_FILE, why),
                };
                let diag = Diag::error(
                    code,
                    format!("`{key}`: can't use `{}`: {why}", clip(&text.value)),
                )
                .label(text.span, "this path");
                self.push(diag.help("paths are relative to the file that they stand in"));
                None
            }
        }
    }

    fn hash(&self, kind: &str, path: &Path) -> Hashed {
        match kind {
            "crate" => self
                .files
                .package(path)
                .map(|Package { bin, source, .. }| (bin, source)),
            "tree" => self.files.tree(path).map(|a| (String::new(), a)),
            "disk" => self.files.disk(path).map(|a| (String::new(), a)),
            _ => self.files.file(path).map(|a| (String::new(), a)),
        }
    }

    /// A path of the scenario as one of the host: relative to the file that it stands in.
    pub(super) fn resolve(&self, text: &Spanned<String>) -> PathBuf {
        let folder = self
            .sources
            .get(text.span.file)
            .and_then(|s| s.path.parent())
            .unwrap_or(Path::new(""));
        folder.join(&text.value)
    }

    /// A kernel, by name or path.
    pub(super) fn kernel(&mut self, block: &Block) -> Option<Kernel> {
        let initrd = self.artifact(block, "initrd", "file").map(|(_, a)| a);
        if block.has("path") {
            if let Some(name) = block.spanned_text("name") {
                let diag = Diag::error(codes::CONFLICTING_KEYS, "the kernel has a name and a path")
                    .label(block.span_of("path"), "the path")
                    .label(name.span, "the name")
                    .help("keep one of them");
                self.push(diag);
            }
            self.no_choice(block, "a kernel of your own is what it is");
            let (_, image) = self.artifact(block, "path", "file")?;
            return Some(Kernel {
                name: KernelName::File,
                choice: KernelChoice::default(),
                image,
                initrd,
            });
        }
        let Some(name) = block.spanned_text("name") else {
            self.push(
                Diag::error(
                    codes::MISSING_SOURCE,
                    "the kernel has neither a name nor a path",
                )
                .label(block.span, "which one?")
                .help("write `kernel \"debian\"` or `kernel path=\"bzImage\"`"),
            );
            return None;
        };
        let choice = match KernelChoice::parse(name.value) {
            Some(named) => self.choice(named, name.span, block)?,
            None => {
                self.no_choice(block, "this kernel is built by chaosrun");
                KernelChoice::default()
            }
        };
        let is_debian = KernelChoice::parse(name.value).is_some();
        let plain = if is_debian {
            kernel::DEBIAN
        } else {
            name.value
        };
        let artifact = match choice.is_empty() {
            true => plain.to_owned(),
            false => choice.name(),
        };
        let image = self.named_kernel(&artifact, name.span)?;
        Some(Kernel {
            name: KernelName::named(plain)?,
            choice,
            image,
            initrd,
        })
    }

    /// Which of Debian's kernels is meant: what its name says, and its keys; none if that is not
    /// understood.
    fn choice(
        &mut self,
        named: Result<KernelChoice, &'static str>,
        span: Span,
        block: &Block,
    ) -> Option<KernelChoice> {
        let mut good = named.is_ok();
        let mut choice = named.unwrap_or_else(|why| {
            let text = "there is no such kernel of Debian's";
            let diag = Diag::error(codes::BAD_VALUE, text).label(span, why);
            self.push(diag.help("e.g. `debian:suite=sid` or `debian:version=6.12*,suite=trixie`"));
            KernelChoice::default()
        });
        for key in kernel::KEYS {
            let Some(value) = block.spanned_text(key) else {
                continue;
            };
            if let Err(why) = choice.set(key, value.value) {
                let text = format!("`{key}`: \"{}\" is not possible", clip(value.value));
                let diag = Diag::error(codes::BAD_VALUE, text).label(value.span, why);
                self.push(diag.help(
                    "e.g. `package=\"linux-image-rt-amd64\"`, `version=\"6.12*\"`, `suite=\"trixie\"`",
                ));
                good = false;
            }
        }
        good.then_some(choice)
    }

    /// Complains if one of Debian's kernels is chosen, but the kernel is another.
    fn no_choice(&mut self, block: &Block, why: &str) {
        for key in kernel::KEYS.into_iter().filter(|key| block.has(key)) {
            let text = format!("`{key}` is for the kernel `{}`", kernel::DEBIAN);
            let diag = Diag::error(codes::CONFLICTING_KEYS, text).label(block.span_of(key), why);
            self.push(diag.help(format!(
                "remove it, or write `kernel \"{}\" {key}=\"...\"`",
                kernel::DEBIAN
            )));
        }
    }

    pub(super) fn named_kernel(&mut self, name: &str, span: Span) -> Option<Artifact> {
        match self.files.kernel(name) {
            Ok(image) => Some(image),
            Err(_) => {
                let help = match did_you_mean(name, KERNELS.iter().copied()) {
                    Some(help) => help,
                    None if name.contains(['/', '.']) => {
                        format!("for a file write `path=\"{}\"`", clip(name))
                    }
                    None => "the kernels are `debian`, `tiny`, `tiny-kcov` and `tiny-kvm`; \
                        for a file write `path=\"...\"`"
                        .into(),
                };
                self.push(
                    Diag::error(
                        codes::UNDEFINED_NAME,
                        format!("there is no kernel `{}`", clip(name)),
                    )
                    .label(span, "not a kernel that chaosrun knows")
                    .help(help),
                );
                None
            }
        }
    }

    /// The files to add under a block's `file` keys.
    pub(super) fn added_files(&mut self, block: &Block) -> Vec<AddedFile> {
        let blocks: Vec<_> = block.blocks("file").cloned().collect();
        blocks.iter().filter_map(|b| self.added_file(b)).collect()
    }

    fn added_file(&mut self, block: &Block) -> Option<AddedFile> {
        let path = block.spanned_text("path")?;
        let bad = !path.value.starts_with('/')
            || path.value.ends_with('/')
            || path.value.split('/').any(|p| p == "..");
        if bad {
            self.push(
                Diag::error(
                    codes::BAD_VALUE,
                    format!("`{}` is not an absolute path of a file", clip(path.value)),
                )
                .label(path.span, "where the guest sees it")
                .help("e.g. `file \"/etc/app.toml\" from=\"app.toml\"`"),
            );
        }
        let content = match (block.spanned_text("content"), block.has("from")) {
            (Some(content), true) => {
                self.push(
                    Diag::error(codes::CONFLICTING_KEYS, "the file has `content` and `from`")
                        .label(content.span, "the content")
                        .label(block.span_of("from"), "the file")
                        .help("keep one of them"),
                );
                return None;
            }
            (Some(content), false) => FileContent::Text(content.value.to_owned()),
            (None, true) => FileContent::Artifact(self.artifact(block, "from", "file")?.1),
            (None, false) => {
                self.push(
                    Diag::error(
                        codes::MISSING_SOURCE,
                        format!("nothing says what is in `{}`", clip(path.value)),
                    )
                    .label(block.span, "`from` or `content` is missing")
                    .help("write `from=\"path/on/the/host\"` or `content=\"text\"`"),
                );
                return None;
            }
        };
        let mode = block.text("mode").unwrap_or("0644");
        match u32::from_str_radix(mode, 8) {
            Ok(mode) if mode <= 0o7777 && !bad => Some(AddedFile {
                path: path.value.to_owned(),
                content,
                mode,
            }),
            Ok(mode) if mode <= 0o7777 => None,
            _ => {
                self.push(
                    Diag::error(
                        codes::BAD_VALUE,
                        format!("`mode`: \"{}\" is not an octal mode", clip(mode)),
                    )
                    .label(block.span_of("mode"), "not octal")
                    .help("write three or four octal digits, e.g. \"0644\" or \"0755\""),
                );
                None
            }
        }
    }
}
