//! Which engine executes the nodes of a plan on this host, or why none can.

use chaosrun_vmm::affinity::{self, NoProcessor};
use chaosrun_vmm::engine::{EngineKind, EngineOptions};
use miette::Diagnostic;
use thiserror::Error;

use super::{Exit, Failure, OrExit, doctor};
use crate::artifact::node_image::NodeImage;
use crate::plan::Plan;
use crate::plan::kernel::KernelName;
use crate::plan::model::{Engine, Node};

/// What becomes of a guest that has to be stopped at a point that is not a function of its inputs.
#[derive(Debug, Clone, Copy, Default, clap::Args)]
pub(super) struct StoppingArgs {
    /// Go on when a guest had to be stopped at a point that is not a function of its inputs.
    #[arg(long)]
    allow_nondeterminism: bool,
    /// Milliseconds of processor time that a guest may go without an exit on the host's KVM.
    #[arg(long, value_name = "MS", hide = true)]
    patience: Option<u64>,
    /// Have the exact engine execute guests without compiling them, which changes nothing but speed.
    #[arg(long)]
    interpret: bool,
}

impl StoppingArgs {
    /// What an engine is told.
    pub(super) fn options(&self) -> EngineOptions {
        let options = if self.allow_nondeterminism {
            EngineOptions::NONDETERMINISTIC
        } else {
            EngineOptions::default()
        };
        EngineOptions {
            patience_ms: self.patience.unwrap_or(options.patience_ms),
            compile_after: if self.interpret {
                0
            } else {
                options.compile_after
            },
            ..options
        }
    }
}

/// A plan asks for an engine that this host can't offer it.
#[derive(Debug, Error, Diagnostic)]
#[error(
    "node `{node}` of `{scenario}` asks for the kvm engine, and this host's KVM cannot run {what}: {why}"
)]
#[diagnostic(
    code(chaosrun::run::engine_refused),
    help("`engine \"exact\"` runs on every host; `chaosrun doctor` tells more")
)]
struct Refused {
    scenario: String,
    node: String,
    what: &'static str,
    why: String,
}

/// A node is to be bound to a processor that this host does not have or does not give.
#[derive(Debug, Error, Diagnostic)]
#[error("node `{node}` of `{scenario}` cannot be bound to processor {cpu} of this host")]
#[diagnostic(
    code(chaosrun::run::pin),
    help("`nproc` and `taskset -p $$` tell which there are; without `pin` the result is the same")
)]
struct NotBound {
    scenario: String,
    node: String,
    cpu: u32,
    source: std::io::Error,
}

/// Refuses a plan whose nodes are to be bound to processors that this host does not have or does not
/// give, before anything is built for it.
///
/// # Errors
/// There is such a node.
fn bindable(plan: &Plan) -> Result<(), Failure> {
    for node in &plan.nodes {
        let refused = |NoProcessor { cpu, source }| NotBound {
            scenario: plan.name.clone(),
            node: node.name.clone(),
            cpu,
            source,
        };
        affinity::check(&node.pin)
            .map_err(refused)
            .or_exit(Exit::HostCannot)?;
    }
    Ok(())
}

/// Decides for the nodes of a plan that leave it open, and refuses what this host can't do for sure,
/// before anything is built for it.
///
/// # Errors
/// A node asks for KVM or for processors, which this host can't offer.
pub(super) fn settle(plan: &mut Plan) -> Result<(), Failure> {
    bindable(plan)?;
    let open = plan.nodes.iter().any(|node| node.engine == Engine::Auto);
    // What is left as it is runs on the exact engine.
    if open && doctor::auto()? == EngineKind::Kvm {
        for node in &mut plan.nodes {
            if node.engine == Engine::Auto {
                node.engine = Engine::Kvm;
            }
        }
    }
    // The kernels that chaosrun knows by name are all Linux; what is in a file is seen later.
    check(plan, |_, node| node.kernel.name != KernelName::File)
}

/// Whether this host runs the kernels that the nodes of a plan boot.
///
/// # Errors
/// A node asks for KVM, which can't run its kernel here.
pub(super) fn suit(plan: &Plan, images: &[NodeImage]) -> Result<(), Failure> {
    check(plan, |index, _| {
        images
            .get(index)
            .is_some_and(|image| is_linux(&image.kernel))
    })
}

/// Checks the nodes that are to run on KVM.
fn check(plan: &Plan, runs_linux: impl Fn(usize, &Node) -> bool) -> Result<(), Failure> {
    for (index, node) in plan.nodes.iter().enumerate() {
        if node.engine != Engine::Kvm {
            continue;
        }
        let (what, against) = if runs_linux(index, node) {
            ("Linux", doctor::against_linux()?)
        } else {
            ("any guest", doctor::against_bare()?)
        };
        if let Some(why) = against {
            return Err(Refused {
                scenario: plan.name.clone(),
                node: node.name.clone(),
                what,
                why,
            })
            .or_exit(Exit::HostCannot);
        }
    }
    Ok(())
}

/// Whether a kernel is Linux: a compressed image, or an executable with its banner.
pub(super) fn is_linux(kernel: &[u8]) -> bool {
    const BANNER: &[u8] = b"Linux version ";
    !kernel.starts_with(b"\x7fELF") || kernel.windows(BANNER.len()).any(|part| part == BANNER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn linux_is_told_by_its_banner_or_by_being_compressed() {
        assert!(is_linux(b"MZ\0\0"));
        assert!(is_linux(b"\x7fELF....Linux version 6.12"));
        assert!(!is_linux(b"\x7fELF....hello"));
    }

    #[test]
    fn a_guest_that_may_be_stopped_anywhere_is_stopped_soon() {
        let strict = StoppingArgs::default().options();
        let lax = StoppingArgs {
            allow_nondeterminism: true,
            ..StoppingArgs::default()
        };
        assert!(!strict.allow_nondeterminism);
        assert!(lax.options().allow_nondeterminism);
        assert!(lax.options().patience_ms < strict.patience_ms);
        let told = StoppingArgs {
            patience: Some(7),
            ..lax
        };
        assert_eq!(told.options().patience_ms, 7);
        let interpreted = StoppingArgs {
            interpret: true,
            ..StoppingArgs::default()
        };
        assert_ne!(strict.compile_after, 0);
        assert_eq!(interpreted.options().compile_after, 0);
    }
}
