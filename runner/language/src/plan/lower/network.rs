//! Networks: their members and addresses.

use chaosrun_chance::Chance;
use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::sync::Arc;

use super::{Lower, clip};
use crate::plan::model::{Layer, LinkShape, Network, Nic, Node, Topology};
use crate::scenario::block::Block;
use crate::scenario::codes;
use crate::scenario::diag::Diag;
use crate::scenario::source::Span;

/// A range of IPv4 addresses.
#[derive(Clone, Copy)]
struct Subnet {
    first: u32,
    prefix_len: u8,
}

impl Subnet {
    fn size(self) -> u64 {
        1 << (32 - u32::from(self.prefix_len))
    }

    /// Whether hosts may have the address: not the first, not the last.
    fn has(self, address: u32) -> bool {
        let offset = u64::from(address).wrapping_sub(u64::from(self.first));
        offset > 0 && offset < self.size() - 1
    }
}

impl Lower<'_> {
    /// Notes the networks' names, before nodes refer to them.
    pub(super) fn network_names(&mut self, body: &Block) {
        for block in body.blocks("network") {
            let Some(name) = &block.name else { continue };
            if let Some(first) = self.networks.insert(name.value.clone(), name.span) {
                self.push(
                    Diag::error(
                        codes::DUPLICATE_NAME,
                        format!("there are two networks `{}`", clip(&name.value)),
                    )
                    .label(name.span, "the second one")
                    .label(first, "the first one")
                    .help("give one of them another name"),
                );
            }
        }
    }

    /// Lowers all networks, and gives the nodes their addresses.
    pub(super) fn networks(&mut self, body: &Block, nodes: &mut [Node]) -> Vec<Network> {
        let mut blocks: Vec<Arc<Block>> = body.blocks("network").cloned().collect();
        blocks.sort_by(|a, b| {
            a.name
                .as_ref()
                .map(|n| &n.value)
                .cmp(&b.name.as_ref().map(|n| &n.value))
        });
        let nics = declared_addresses(body);
        let mut out: Vec<Network> = Vec::new();
        for (index, block) in blocks.iter().enumerate() {
            let Some(name) = &block.name else { continue };
            let Some(subnet) = self.subnet(block, index) else {
                continue;
            };
            let members: Vec<usize> = (0..nodes.len())
                .filter(|i| nodes[*i].nics.iter().any(|n| n.network == name.value))
                .collect();
            self.addresses(&name.value, name.span, subnet, &members, nodes, &nics);
            let shape = shape(block, None);
            let links = self.links(block, &name.value, &shape);
            let topology = self.topology(block, &name.value);
            out.push(Network {
                name: name.value.clone(),
                subnet: Ipv4Addr::from(subnet.first).to_string(),
                prefix_len: subnet.prefix_len,
                mtu_bytes: block
                    .unsigned("mtu")
                    .and_then(|n| u32::try_from(n).ok())
                    .unwrap_or(1500),
                topology,
                shape,
                layer: match block.text("layer") {
                    Some("ethernet") => Layer::Ethernet,
                    _ => Layer::Ip,
                },
                links,
                members: members.iter().map(|i| nodes[*i].name.clone()).collect(),
                pcap: block.bool("pcap"),
            });
        }
        self.overlaps(&blocks, &out);
        out
    }

    fn subnet(&mut self, block: &Block, index: usize) -> Option<Subnet> {
        let Some(text) = block.spanned_text("subnet") else {
            // 10.1.0.0/16 for the first network, and so on.
            let Ok(second @ 1..=255) = u32::try_from(index + 1) else {
                self.push(
                    Diag::error(
                        codes::BAD_ADDRESS,
                        "there are more than 255 networks without a subnet of their own",
                    )
                    .label(block.span, "no address left")
                    .help("give it a `subnet`"),
                );
                return None;
            };
            return Some(Subnet {
                first: (10 << 24) | (second << 16),
                prefix_len: 16,
            });
        };
        let parsed = text
            .value
            .split_once('/')
            .and_then(|(a, p)| Some((a.parse::<Ipv4Addr>().ok()?, p.parse::<u8>().ok()?)));
        let help = "e.g. \"10.1.0.0/16\"";
        match parsed {
            Some((address, prefix_len @ 8..=30)) => {
                let first = u32::from(address);
                let mask = u32::MAX << (32 - u32::from(prefix_len));
                if first & !mask != 0 {
                    let right = Ipv4Addr::from(first & mask);
                    self.push(
                        Diag::error(
                            codes::BAD_ADDRESS,
                            format!(
                                "`{}` is not the first address of its subnet",
                                clip(text.value)
                            ),
                        )
                        .label(text.span, "not a subnet")
                        .help(format!("write \"{right}/{prefix_len}\"")),
                    );
                    return None;
                }
                Some(Subnet { first, prefix_len })
            }
            _ => {
                self.push(
                    Diag::error(
                        codes::BAD_ADDRESS,
                        format!("`{}` is not a subnet", clip(text.value)),
                    )
                    .label(text.span, "not a subnet")
                    .help(help),
                );
                None
            }
        }
    }

    /// Gives each member of a network an address: its own, or the next that is free.
    fn addresses(
        &mut self,
        network: &str,
        span: Span,
        subnet: Subnet,
        members: &[usize],
        nodes: &mut [Node],
        declared: &Declared,
    ) {
        let mut taken: BTreeSet<u32> = BTreeSet::new();
        let mut chosen: Vec<Option<(u32, Option<String>)>> = Vec::new();
        for &index in members {
            let own = declared.get(&(self.nodes[index].span, network.to_owned()));
            chosen.push(own.and_then(|block| self.own_address(block, subnet, &mut taken)));
        }
        let mut next = u64::from(subnet.first) + 1;
        for (&index, chosen) in members.iter().zip(chosen) {
            let (address, mac) = match chosen {
                Some((address, mac)) if address != 0 => (address, mac),
                other => {
                    while u32::try_from(next).is_ok_and(|a| taken.contains(&a)) {
                        next += 1;
                    }
                    let free = u32::try_from(next).unwrap_or(u32::MAX);
                    if !subnet.has(free) {
                        self.push(
                            Diag::error(
                                codes::BAD_ADDRESS,
                                format!("the network `{network}` has more nodes than addresses"),
                            )
                            .label(span, format!("{} nodes", members.len()))
                            .help("give it a larger `subnet`"),
                        );
                        return;
                    }
                    taken.insert(free);
                    (free, other.and_then(|(_, mac)| mac))
                }
            };
            let [a, b, c, d] = address.to_be_bytes();
            let mac = mac.unwrap_or_else(|| format!("52:54:{a:02x}:{b:02x}:{c:02x}:{d:02x}"));
            if let Some(nic) = nodes[index].nics.iter_mut().find(|n| n.network == network) {
                *nic = Nic {
                    network: network.to_owned(),
                    address: Ipv4Addr::from(address).to_string(),
                    prefix_len: subnet.prefix_len,
                    mac,
                };
            }
        }
    }

    /// The address (0 for none) and the Ethernet address that a node asks for.
    fn own_address(
        &mut self,
        block: &Block,
        subnet: Subnet,
        taken: &mut BTreeSet<u32>,
    ) -> Option<(u32, Option<String>)> {
        let mac = match block.spanned_text("mac") {
            Some(text) => Some(self.mac(text.value, text.span)?),
            None => None,
        };
        let Some(text) = block.spanned_text("address") else {
            return Some((0, mac));
        };
        let address = text.value.parse::<Ipv4Addr>().map(u32::from).ok();
        let why = match address {
            None => "is not an IPv4 address",
            Some(a) if !subnet.has(a) => "is not one of the network's addresses",
            Some(a) if !taken.insert(a) => "is taken by another node",
            Some(a) => return Some((a, mac)),
        };
        let range = format!(
            "the network has {}/{}; its first and last address can't be used",
            Ipv4Addr::from(subnet.first),
            subnet.prefix_len
        );
        self.push(
            Diag::error(codes::BAD_ADDRESS, format!("`{}` {why}", clip(text.value)))
                .label(text.span, "can't be used")
                .help(range),
        );
        None
    }

    fn mac(&mut self, text: &str, span: Span) -> Option<String> {
        let bytes: Vec<Option<u8>> = text
            .split(':')
            .map(|p| u8::from_str_radix(p, 16).ok().filter(|_| p.len() == 2))
            .collect();
        // The lowest bit of the first byte marks addresses of groups.
        match bytes.as_slice() {
            [Some(first), Some(_), Some(_), Some(_), Some(_), Some(_)] if first & 1 == 0 => {
                Some(text.to_lowercase())
            }
            _ => {
                self.push(
                    Diag::error(
                        codes::BAD_ADDRESS,
                        format!("`{}` is not an Ethernet address of one card", clip(text)),
                    )
                    .label(span, "can't be used")
                    .help("e.g. \"52:54:00:00:00:01\"; the first byte is even"),
                );
                None
            }
        }
    }

    fn topology(&mut self, block: &Block, network: &str) -> Topology {
        let kind = block.text("topology").unwrap_or("mesh").to_owned();
        let hub = block.spanned_text("hub");
        if kind != "star" {
            if let Some(hub) = hub {
                self.push(
                    Diag::error(codes::CONFLICTING_KEYS, format!("a {kind} has no hub"))
                        .label(hub.span, "unused")
                        .help("write `topology \"star\"`, or remove `hub`"),
                );
            }
            return match kind.as_str() {
                "ring" => Topology::Ring,
                "line" => Topology::Line,
                "links" => Topology::Links,
                _ => Topology::Mesh,
            };
        }
        let Some(hub) = hub else {
            self.push(
                Diag::error(codes::MISSING_KEY, "a star needs a hub")
                    .label(block.span_of("topology"), "which node is in the middle?")
                    .help("add `hub \"n1\"`"),
            );
            return Topology::Mesh;
        };
        let name = hub.value.to_owned();
        match self.node_index.get(&name) {
            None => {
                let known: Vec<String> = self
                    .nodes
                    .iter()
                    .take(200)
                    .map(|n| n.name.clone())
                    .collect();
                let known: Vec<&str> = known.iter().map(String::as_str).collect();
                self.undefined(
                    "node",
                    &name,
                    hub.span,
                    &known,
                    self.nodes.first().map(|n| n.span),
                );
            }
            Some(index) if !self.nodes[*index].networks.iter().any(|n| n == network) => {
                let node = self.nodes[*index].span;
                self.push(
                    Diag::error(
                        codes::NOT_CONNECTED,
                        format!("the hub `{name}` is not on the network `{network}`"),
                    )
                    .label(hub.span, "the hub")
                    .label(node, "the node")
                    .help(format!("add `network \"{network}\"` to the node")),
                );
            }
            Some(_) => {}
        }
        Topology::Star { hub: name }
    }

    /// Two networks with the same addresses would confuse every guest that is on both.
    fn overlaps(&mut self, blocks: &[Arc<Block>], networks: &[Network]) {
        let mut ranges: Vec<(u64, u64, usize)> = Vec::new();
        for (index, network) in networks.iter().enumerate() {
            let Ok(first) = network.subnet.parse::<Ipv4Addr>() else {
                continue;
            };
            let first = u64::from(u32::from(first));
            ranges.push((
                first,
                first + (1 << (32 - u32::from(network.prefix_len))),
                index,
            ));
        }
        ranges.sort_unstable();
        for pair in ranges.windows(2) {
            let ((_, end, a), (start, _, b)) = (pair[0], pair[1]);
            if start < end {
                let span = |i: usize| {
                    blocks
                        .iter()
                        .find(|k| k.name.as_ref().is_some_and(|n| n.value == networks[i].name))
                        .map(|k| k.span_of("subnet"))
                };
                let diag = Diag::error(
                    codes::BAD_ADDRESS,
                    format!(
                        "the networks `{}` and `{}` have addresses in common",
                        networks[a].name, networks[b].name
                    ),
                );
                self.push(
                    diag.label_opt(span(b), "this subnet")
                        .label_opt(span(a), "and this one")
                        .help("give one of them another `subnet`"),
                );
            }
        }
    }
}

/// What nodes ask for on a network, by the place where the node was written.
type Declared = std::collections::BTreeMap<(Span, String), Arc<Block>>;

fn declared_addresses(body: &Block) -> Declared {
    let mut out = Declared::new();
    for node in body.blocks("node") {
        let Some(name) = &node.name else { continue };
        for nic in node.blocks("network") {
            if let Some(network) = &nic.name
                && (nic.has("address") || nic.has("mac"))
            {
                out.insert((name.span, network.value.clone()), Arc::clone(nic));
            }
        }
    }
    out
}

/// How links treat frames: as written, or else as in `base`, or else the default.
pub(super) fn shape(block: &Block, base: Option<&LinkShape>) -> LinkShape {
    let amount = |key: &str, base: Option<u64>| {
        if block.has(key) {
            block.amount(key)
        } else {
            base.or_else(|| block.amount(key))
        }
        .unwrap_or(0)
    };
    let chance = |key: &str, base: Option<Chance>| {
        if block.has(key) {
            block.ratio(key)
        } else {
            base.or_else(|| block.ratio(key))
        }
        .unwrap_or(Chance::NEVER)
    };
    LinkShape {
        latency_ns: amount("latency", base.map(|b| b.latency_ns)),
        jitter_ns: amount("jitter", base.map(|b| b.jitter_ns)),
        overtake: match base {
            Some(base) if !block.has("overtake") => base.overtake,
            _ => block.bool("overtake"),
        },
        bandwidth_bps: amount("bandwidth", base.map(|b| b.bandwidth_bps)),
        queue_bytes: amount("queue", base.map(|b| b.queue_bytes)),
        loss: chance("loss", base.map(|b| b.loss)),
        duplicate: chance("duplicate", base.map(|b| b.duplicate)),
        corrupt: chance("corrupt", base.map(|b| b.corrupt)),
        reorder: chance("reorder", base.map(|b| b.reorder)),
        reorder_window_ns: amount("reorder-window", base.map(|b| b.reorder_window_ns)),
    }
}
