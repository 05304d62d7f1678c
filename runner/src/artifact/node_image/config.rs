//! What a node's kernel and init are told.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use chaosrun_protocol::node as guest;

use crate::plan::kernel::KernelName;
use crate::plan::model::{Disk, Node, Plan, RestartPolicy, Workload};

/// Has virtio_net look for frames that were sent when it sends the next one. Else the device interrupts
/// for each, and it takes all at once, so that there is nothing that anybody could wait for.
const NO_INTERRUPT_FOR_SENT: &str = "virtio_net.napi_tx=0";

/// What Debian's kernel would do beyond what a machine here has any use for: to keep a processor that
/// does not speculate from giving secrets away, to wipe memory that it hands to itself, and to count
/// how long tasks wait for resources, at each switch between them. `tiny` is built without.
const FOR_DEBIAN: [&str; 3] = ["mitigations=off", "init_on_alloc=0", "psi=0"];

/// The kernel's command line: the console, a reset after a panic (so that the machine stops), no interrupts
/// that tell nothing, what of the kernel's messages is shown, and the words of the scenario, which win.
pub(super) fn cmdline(node: &Node) -> String {
    let mut words = vec![
        "console=ttyS0".to_owned(),
        "panic=-1".to_owned(),
        NO_INTERRUPT_FOR_SENT.to_owned(),
        format!("loglevel={}", node.console.loglevel),
    ];
    if node.kernel.name == KernelName::Debian {
        words.extend(FOR_DEBIAN.map(str::to_owned));
    }
    words.extend(node.cmdline.iter().cloned());
    words.join(" ")
}

/// What init has to know. `commands` has the program and the first arguments of each guest that init
/// starts.
pub(super) fn node_config(
    plan: &Plan,
    node: &Node,
    commands: &BTreeMap<String, Vec<String>>,
) -> guest::NodeConfig {
    let nics = node.nics.iter().filter_map(|nic| {
        let network = plan.networks.iter().find(|n| n.name == nic.network);
        Some(guest::Nic {
            mac: nic.mac.clone(),
            address: nic.address.parse().ok()?,
            prefix_len: nic.prefix_len,
            mtu: network.map(|n| n.mtu_bytes),
        })
    });
    let workloads = node.workloads.iter().filter_map(|workload| {
        let (program, first) = commands.get(&workload.guest)?.split_first()?;
        Some(guest::Workload {
            name: workload.guest.clone(),
            program: program.clone(),
            args: first.iter().chain(&workload.args).cloned().collect(),
            env: workload.env.clone(),
            directory: None,
            user: None,
            restart: restart(plan, workload),
        })
    });
    guest::NodeConfig {
        hostname: node.name.clone(),
        hosts: hosts(plan),
        nics: nics.collect(),
        mounts: mounts(node),
        workloads: workloads.collect(),
    }
}

fn mounts(node: &Node) -> Vec<guest::Mount> {
    let mount = |disk: &Disk| {
        Some(guest::Mount {
            disk: disk.name.clone(),
            path: disk.mount.clone()?,
            filesystem: "ext4".to_owned(),
            read_only: disk.read_only,
        })
    };
    node.disks.iter().filter_map(mount).collect()
}

/// The first address of each node has the node's name; those on further networks have it with the
/// network's behind, as in `n1.backup`.
fn hosts(plan: &Plan) -> Vec<guest::Host> {
    let mut hosts = Vec::new();
    for node in &plan.nodes {
        for (index, nic) in node.nics.iter().enumerate() {
            let name = match index {
                0 => node.name.clone(),
                _ => format!("{}.{}", node.name, nic.network),
            };
            if let Ok(address) = nic.address.parse::<Ipv4Addr>() {
                hosts.push(guest::Host { name, address });
            }
        }
    }
    hosts
}

fn restart(plan: &Plan, workload: &Workload) -> guest::Restart {
    match plan.guests.get(&workload.guest).map(|guest| guest.restart) {
        Some(RestartPolicy::OnFailure) => guest::Restart::OnFailure,
        Some(RestartPolicy::Always) => guest::Restart::Always,
        Some(RestartPolicy::Never) | None => guest::Restart::Never,
    }
}
