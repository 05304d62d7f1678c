//! Guests and nodes.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Lower, NodeInfo, clip, sorted};
use crate::plan::kernel::{KernelChoice, KernelName};
use crate::plan::model::{
    Clock, Console, Engine, Guest, Interleave, Kernel, Nic, Node, Program, RestartPolicy, Workload,
};
use crate::plan::name_problem;
use crate::scenario::block::{Block, merge};
use crate::scenario::codes;
use crate::scenario::diag::Diag;
use crate::scenario::source::{Span, Spanned};

/// How many nodes a scenario may have.
const MAX_NODES: usize = 4096;

/// The least RAM with which a kernel can be loaded at all.
const MIN_MEMORY_BYTES: u64 = 4 << 20;

impl Lower<'_> {
    /// Lowers all guests.
    pub(super) fn guests(&mut self, body: &Block) {
        let blocks: Vec<_> = body.blocks("guest").cloned().collect();
        for block in blocks {
            let Some(name) = &block.name else { continue };
            if let Some((_, first)) = self.guests.get(&name.value) {
                let first = *first;
                self.duplicate_name("guest", &name.value, name.span, first);
                continue;
            }
            let Some(program) = self.program(&block, name) else {
                // The name is known even though the guest can't be made: one mistake, one message.
                let program = Program::Binary {
                    file: crate::plan::model::Artifact::Content {
                        blake3: String::new(),
                        size_bytes: 0,
                    },
                };
                self.guests.insert(
                    name.value.clone(),
                    (guest(&block, program, Vec::new()), name.span),
                );
                continue;
            };
            let files = self.added_files(&block);
            self.guests.insert(
                name.value.clone(),
                (guest(&block, program, files), name.span),
            );
        }
    }

    pub(super) fn duplicate_name(&mut self, what: &str, name: &str, span: Span, first: Span) {
        let diag = Diag::error(
            codes::DUPLICATE_NAME,
            format!("there are two {what}s `{}`", clip(name)),
        )
        .label(span, "the second one");
        self.push(
            diag.label_opt(Some(first).filter(|f| *f != span), "the first one")
                .help("give one of them another name"),
        );
    }

    fn program(&mut self, block: &Block, name: &Spanned<String>) -> Option<Program> {
        let sources = ["crate", "binary", "initrd", "directory", "packages"];
        let written: Vec<&str> = sources.into_iter().filter(|k| block.has(k)).collect();
        let kind = match written.as_slice() {
            [one] => *one,
            [] => {
                self.push(
                    Diag::error(
                        codes::MISSING_SOURCE,
                        format!(
                            "nothing says what the guest `{}` is made of",
                            clip(&name.value)
                        ),
                    )
                    .label(
                        block.span,
                        "one of `crate`, `binary`, `initrd`, `directory` or `packages` is missing",
                    )
                    .help("e.g. `guest \"app\" crate=\"guests/app\"`"),
                );
                return None;
            }
            [one, other, ..] => {
                self.push(
                    Diag::error(
                        codes::CONFLICTING_KEYS,
                        format!(
                            "the guest `{}` has `{one}` and `{other}`",
                            clip(&name.value)
                        ),
                    )
                    .label(block.span_of(other), "this")
                    .label(block.span_of(one), "and this")
                    .help("a guest is made of one thing; define two guests and give a node both"),
                );
                return None;
            }
        };
        for key in ["bin", "features"] {
            if kind != "crate" && block.has(key) {
                self.push(
                    Diag::error(codes::CONFLICTING_KEYS, format!("`{key}` is for crates"))
                        .label(block.span_of(key), "has no meaning here")
                        .label(
                            block.span_of(kind),
                            format!("the guest is made of a {kind}"),
                        )
                        .help("remove it"),
                );
            }
        }
        if kind == "packages" {
            return self.packages(block);
        }
        let kind_of_file = match kind {
            "crate" => "crate",
            "directory" => "tree",
            _ => "file",
        };
        let (package, artifact) = self.artifact(block, kind, kind_of_file)?;
        Some(match kind {
            "crate" => {
                if let Some(path) = block.spanned_text("crate") {
                    let folder = self.resolve(&Spanned::new(path.value.to_owned(), path.span));
                    self.guest_folders.insert(name.value.clone(), folder);
                }
                Program::Crate {
                    source: artifact,
                    bin: block.text("bin").unwrap_or(&package).to_owned(),
                    features: sorted(block.texts("features")),
                }
            }
            "binary" => Program::Binary { file: artifact },
            "initrd" => Program::Initrd { file: artifact },
            _ => Program::Directory { tree: artifact },
        })
    }

    /// A guest made of Debian packages.
    fn packages(&mut self, block: &Block) -> Option<Program> {
        let names = block.texts("packages");
        for name in &names {
            if let Some(why) = name_problem(&name.value) {
                let title = format!(
                    "`{}` is not the name of a Debian package",
                    clip(&name.value)
                );
                let diag = Diag::error(codes::BAD_VALUE, title)
                    .label(name.span, why)
                    .help("e.g. `packages \"redis-server\"`");
                self.push(diag);
                return None;
            }
        }
        let packages = sorted(names);
        match self.files.packages(&packages) {
            Ok(tree) => Some(Program::Packages { packages, tree }),
            Err(problem) => {
                let diag = Diag::error(codes::BAD_FILE, format!("`packages`: {problem}"))
                    .label(block.span_of("packages"), "these packages");
                self.push(diag.help("`chaosrun artifact clean` removes what is damaged"));
                None
            }
        }
    }

    /// Lowers all nodes: templates joined, replicas made.
    pub(super) fn nodes(&mut self, body: &Block) -> Vec<Node> {
        let templates: BTreeMap<String, Arc<Block>> = body
            .blocks("template")
            .filter_map(|b| Some((b.name.as_ref()?.value.clone(), Arc::clone(b))))
            .collect();
        let default_kernel = match body.block("kernel") {
            Some(block) => self.kernel(&Arc::clone(block)),
            None => self.named_kernel("debian", body.span).map(|image| Kernel {
                name: KernelName::Debian,
                choice: KernelChoice::default(),
                image,
                initrd: None,
            }),
        };
        let mut out = Vec::new();
        for block in body.blocks("node") {
            let Some(name) = &block.name else { continue };
            let joined = self.with_templates(block, &templates);
            let count = block.unsigned("replicas");
            let names: Vec<String> = match count {
                Some(n) => (1..=n).map(|i| format!("{}{i}", name.value)).collect(),
                None => vec![name.value.clone()],
            };
            if out.len() + names.len() > MAX_NODES {
                self.push(
                    Diag::error(
                        codes::TOO_MANY_NODES,
                        format!("the scenario has more than {MAX_NODES} nodes"),
                    )
                    .label(name.span, "too many from here on")
                    .help("use fewer replicas"),
                );
                return out;
            }
            let first = self.node(&joined, body, default_kernel.as_ref());
            for node_name in names {
                if let Some(index) = self.node_index.get(&node_name) {
                    let earlier = self.nodes[*index].span;
                    self.duplicate_name("node", &node_name, name.span, earlier);
                    continue;
                }
                let node = Node {
                    name: node_name,
                    ..first.clone()
                };
                self.remember(&node, name.span);
                out.push(node);
            }
        }
        if out.is_empty() && !self.diags.has_errors() {
            self.push(
                Diag::error(codes::NO_NODES, "the scenario has no nodes")
                    .label(body.span, "nothing to run")
                    .help("add `node \"n1\"`; in TOML a table `[node.n1]`"),
            );
        }
        self.sets.insert("all".into(), (0..out.len()).collect());
        out
    }

    fn with_templates(
        &mut self,
        block: &Arc<Block>,
        templates: &BTreeMap<String, Arc<Block>>,
    ) -> Arc<Block> {
        let mut base: Option<Block> = None;
        for name in block.texts("template") {
            self.used.insert(("template", name.value.clone()));
            let Some(joined) = self.template(&name, templates, 0) else {
                continue;
            };
            base = Some(match base {
                Some(base) => join_machine(&base, &joined),
                None => joined,
            });
        }
        match base {
            Some(base) => Arc::new(join_machine(&base, block)),
            None => Arc::clone(block),
        }
    }

    /// A template with the templates that it takes over itself.
    fn template(
        &mut self,
        name: &Spanned<String>,
        templates: &BTreeMap<String, Arc<Block>>,
        depth: usize,
    ) -> Option<Block> {
        let Some(block) = templates.get(&name.value) else {
            let known: Vec<&str> = templates.keys().map(String::as_str).collect();
            let defined = templates.values().next().map(|b| b.span);
            self.undefined("template", &name.value, name.span, &known, defined);
            return None;
        };
        if depth > 16 {
            self.push(
                Diag::error(
                    codes::INCLUDE_CYCLE,
                    format!("the template `{}` takes itself over", clip(&name.value)),
                )
                .label(name.span, "closes the circle")
                .help("remove one of the `template` lines"),
            );
            return None;
        }
        let mut base: Option<Block> = None;
        for inner in block.texts("template") {
            self.used.insert(("template", inner.value.clone()));
            let joined = self.template(&inner, templates, depth + 1)?;
            base = Some(match base {
                Some(base) => join_machine(&base, &joined),
                None => joined,
            });
        }
        Some(match base {
            Some(base) => join_machine(&base, block),
            None => Block::clone(block),
        })
    }

    fn remember(&mut self, node: &Node, span: Span) {
        let index = self.nodes.len();
        self.node_index.insert(node.name.clone(), index);
        for tag in &node.tags {
            self.tags.entry(tag.clone()).or_default().push(index);
        }
        for role in &node.roles {
            self.roles.entry(role.clone()).or_default().push(index);
        }
        self.nodes.push(NodeInfo {
            name: node.name.clone(),
            span,
            tags: node.tags.clone(),
            roles: node.roles.clone(),
            networks: node.nics.iter().map(|n| n.network.clone()).collect(),
            disks: node.disks.iter().map(|d| d.name.clone()).collect(),
            guests: node.workloads.iter().map(|w| w.guest.clone()).collect(),
        });
    }

    fn node(&mut self, block: &Block, body: &Block, default_kernel: Option<&Kernel>) -> Node {
        let kernel = match block.block("kernel") {
            Some(own) => self.kernel(&Arc::clone(own)),
            None => default_kernel.cloned(),
        };
        let memory_bytes = self.memory(block);
        let console = block.block("console").cloned();
        let clock = block.block("clock").cloned();
        let clock_value = |key: &str| clock.as_ref().and_then(|c| c.int(key)).unwrap_or(0);
        let console = console.unwrap_or_else(|| {
            Arc::new(Block::empty(&crate::scenario::vocab::CONSOLE, block.span))
        });
        Node {
            name: String::new(),
            memory_bytes,
            vcpus: block
                .unsigned("vcpus")
                .and_then(|n| u32::try_from(n).ok())
                .unwrap_or(1),
            interleave: self.interleave(block),
            instructions_per_us: block.unsigned("speed").unwrap_or(1000),
            engine: engine(block.text("engine").or_else(|| body.text("engine"))),
            pin: block
                .ints("pin")
                .into_iter()
                .filter_map(|n| u32::try_from(n).ok())
                .collect(),
            kernel: kernel.unwrap_or_else(no_kernel),
            cmdline: block
                .texts("cmdline")
                .into_iter()
                .flat_map(|t| {
                    t.value
                        .split_whitespace()
                        .map(ToOwned::to_owned)
                        .collect::<Vec<_>>()
                })
                .collect(),
            workloads: self.workloads(block),
            files: self.added_files(block),
            disks: self.disks(block),
            nics: self.nics(block),
            clock: Clock {
                skew_ns: clock_value("skew"),
                drift_ppb: clock_value("drift"),
            },
            tags: sorted(block.texts("tag")),
            roles: sorted(block.texts("role")),
            console: Console {
                capture: console.bool("capture"),
                limit_bytes: console.amount("limit").unwrap_or(0),
                loglevel: console
                    .unsigned("loglevel")
                    .and_then(|n| u8::try_from(n).ok())
                    .unwrap_or(4),
            },
        }
    }

    fn memory(&mut self, block: &Block) -> u64 {
        let bytes = block.amount("memory").unwrap_or(256 << 20);
        let span = block.span_of("memory");
        if !(MIN_MEMORY_BYTES..=1 << 40).contains(&bytes) {
            self.push(
                Diag::error(
                    codes::OUT_OF_RANGE,
                    "`memory` must be between 4 MiB and 1 TiB",
                )
                .label(span, "out of range")
                .help("Linux wants about 64MiB, a small cluster node 128MiB"),
            );
        } else if !bytes.is_multiple_of(4096) {
            self.push(
                Diag::error(
                    codes::OUT_OF_RANGE,
                    "`memory` must be a whole number of 4 KiB pages",
                )
                .label(span, "not a multiple of 4 KiB")
                .help("write it in MiB"),
            );
        }
        bytes
    }

    fn interleave(&mut self, block: &Block) -> Interleave {
        let Some(block) = block.block("interleave").cloned() else {
            return Interleave::RoundRobin { quantum: 10_000 };
        };
        let random = block.text("mode") == Some("random");
        let wrong: &[&str] = if random {
            &["quantum"]
        } else {
            &["min", "max"]
        };
        for key in wrong.iter().filter(|k| block.has(k)) {
            self.push(
                Diag::error(
                    codes::CONFLICTING_KEYS,
                    format!(
                        "`{key}` has no meaning for `{}`",
                        block.text("mode").unwrap_or_default()
                    ),
                )
                .label(block.span_of(key), "unused")
                .help("`round-robin` has `quantum`; `random` has `min` and `max`"),
            );
        }
        if !random {
            return Interleave::RoundRobin {
                quantum: block.unsigned("quantum").unwrap_or(10_000),
            };
        }
        let (min, max) = (
            block.unsigned("min").unwrap_or(1),
            block.unsigned("max").unwrap_or(20_000),
        );
        if min > max {
            self.push(
                Diag::error(codes::OUT_OF_RANGE, "`min` is larger than `max`")
                    .label(block.span_of("min"), format!("{min}"))
                    .label(block.span_of("max"), format!("{max}"))
                    .help("exchange them"),
            );
        }
        Interleave::Random {
            min,
            max: max.max(min),
        }
    }

    fn workloads(&mut self, block: &Block) -> Vec<Workload> {
        let node_env = block.map("env");
        let uses: Vec<_> = block.blocks("guest").cloned().collect();
        let mut out: Vec<Workload> = Vec::new();
        let mut whole: Option<Span> = None;
        for guest_use in &uses {
            let Some(name) = guest_use.spanned_text("name") else {
                continue;
            };
            self.used.insert(("guest", name.value.to_owned()));
            let Some((guest, _)) = self.guests.get(name.value) else {
                let known: Vec<String> = self.guests.keys().cloned().collect();
                let known: Vec<&str> = known.iter().map(String::as_str).collect();
                let defined = self.guests.values().map(|(_, s)| *s).min();
                self.undefined("guest", name.value, name.span, &known, defined);
                continue;
            };
            let mut env = guest.env.clone();
            env.extend(node_env.iter().map(|(k, v)| (k.value.clone(), v.clone())));
            env.extend(guest_use.map("env").into_iter().map(|(k, v)| (k.value, v)));
            let mut args = guest.args.clone();
            args.extend(guest_use.texts("args").into_iter().map(|t| t.value));
            if matches!(
                guest.program,
                Program::Initrd { .. } | Program::Directory { .. } | Program::Packages { .. }
            ) && let Some(first) = whole.replace(name.span)
            {
                self.push(
                    Diag::error(
                        codes::CONFLICTING_KEYS,
                        "the node has two guests that are whole file systems",
                    )
                    .label(name.span, "the second one")
                    .label_opt(Some(first).filter(|f| *f != name.span), "the first one")
                    .help(
                        "a node can have one initrd or directory tree; crates and binaries \
                         are added to it",
                    ),
                );
            }
            if out.iter().any(|w| w.guest == name.value) {
                self.push(
                    Diag::error(
                        codes::DUPLICATE_NAME,
                        format!("the node runs the guest `{}` twice", clip(name.value)),
                    )
                    .label(name.span, "the second time")
                    .help(
                        "define a second guest of the same crate, so that faults and reports \
                         can tell the processes apart",
                    ),
                );
                continue;
            }
            out.push(Workload {
                guest: name.value.to_owned(),
                args,
                env,
            });
        }
        out
    }

    fn nics(&mut self, block: &Block) -> Vec<Nic> {
        let nics: Vec<_> = block.blocks("network").cloned().collect();
        let mut out: Vec<Nic> = Vec::new();
        for nic in &nics {
            let Some(name) = &nic.name else { continue };
            self.used.insert(("network", name.value.clone()));
            if !self.networks.contains_key(&name.value) {
                self.undefined_network(&name.value, name.span);
            } else if out.iter().any(|n| n.network == name.value) {
                self.duplicate_name("network", &name.value, name.span, name.span);
            } else {
                // Addresses are given when all nodes are known.
                out.push(Nic {
                    network: name.value.clone(),
                    address: String::new(),
                    prefix_len: 0,
                    mac: String::new(),
                });
            }
        }
        out
    }

    pub(super) fn undefined_network(&mut self, name: &str, span: Span) {
        let known: Vec<String> = self.networks.keys().cloned().collect();
        let known: Vec<&str> = known.iter().map(String::as_str).collect();
        let defined = self.networks.values().min().copied();
        self.undefined("network", name, span, &known, defined);
    }
}

/// Joins machine blocks. A node that says which guests it runs means only those.
fn join_machine(base: &Block, over: &Block) -> Block {
    let mut base = base.clone();
    base.fields
        .retain(|f| f.key.name != "template" && !(f.key.name == "guest" && over.has("guest")));
    let mut joined = merge(&base, over);
    joined.section = over.section;
    joined.name.clone_from(&over.name);
    joined
}

fn guest(block: &Block, program: Program, files: Vec<crate::plan::model::AddedFile>) -> Guest {
    let texts = |key: &str| block.texts(key).into_iter().map(|t| t.value).collect();
    Guest {
        program,
        command: texts("command"),
        args: texts("args"),
        env: block
            .map("env")
            .into_iter()
            .map(|(k, v)| (k.value, v))
            .collect(),
        files,
        restart: match block.text("restart") {
            Some("on-failure") => RestartPolicy::OnFailure,
            Some("always") => RestartPolicy::Always,
            _ => RestartPolicy::Never,
        },
    }
}

fn engine(word: Option<&str>) -> Engine {
    match word {
        Some("exact") => Engine::Exact,
        Some("kvm") => Engine::Kvm,
        _ => Engine::Auto,
    }
}

/// Stands where a kernel could not be found; the plan has errors then and is not used.
fn no_kernel() -> Kernel {
    Kernel {
        name: KernelName::Debian,
        choice: KernelChoice::default(),
        image: crate::plan::model::Artifact::Content {
            blake3: String::new(),
            size_bytes: 0,
        },
        initrd: None,
    }
}
