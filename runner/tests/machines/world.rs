//! Several machines in one world: real kernels that hear of each other, of faults, and of time.

use std::sync::Arc;

use chaosrun_vmm::disk::Disk;
use chaosrun_vmm::machine::{MachineEvent, StateHash};
use chaosrun_vmm::tape::Tape;
use chaosrun_vmm::time::VirtTime;
use chaosrun_vmm::world::{
    Boots, Command, LinkFault, LinkFaultKind, NetworkConfig, NicConfig, NodeConfig, World,
    WorldConfig, WorldEventKind,
};

use super::guest::{MILLI, QUIET, SECOND, busybox_root, pack, tiny};

/// Nodes with their consoles.
struct Cluster {
    world: World,
    consoles: Vec<String>,
    hashes: Vec<StateHash>,
}

/// A node with an address on the network whose shell runs `command`.
pub fn node(index: usize, command: &str) -> NodeConfig {
    let network = format!(
        "ip link set lo up; ip link set eth0 up; ip addr add 10.0.0.{}/24 dev eth0; {command}",
        index + 1
    );
    let initrd = pack(&busybox_root(&network));
    NodeConfig {
        initrd: Some(initrd.into()),
        cmdline: QUIET.to_owned(),
        memory: 64 << 20,
        disks: vec![Disk::blank("data", 1 << 20).unwrap()],
        nics: vec![NicConfig {
            network: 0,
            mac: [0x52, 0x54, 0, 0, 0, index as u8 + 1],
        }],
        ..NodeConfig::new(&format!("n{}", index + 1), kernel())
    }
}

fn kernel() -> Arc<[u8]> {
    static KERNEL: std::sync::OnceLock<Arc<[u8]>> = std::sync::OnceLock::new();
    Arc::clone(KERNEL.get_or_init(|| tiny().into()))
}

impl Cluster {
    fn new(nodes: Vec<NodeConfig>, network: NetworkConfig, jobs: usize) -> Self {
        let consoles = vec![String::new(); nodes.len()];
        let config = WorldConfig {
            tape: Tape::new(1),
            nodes,
            networks: vec![network],
            boots: Boots::fresh(),
            jobs,
        };
        Self {
            world: World::new(config).expect("the world can be made"),
            consoles,
            hashes: Vec::new(),
        }
    }

    fn run_to(&mut self, until: u64) {
        while self.world.now().0 < until {
            // A hash at each 100 ms.
            let next = (self.world.now().0 / (100 * MILLI) + 1) * 100 * MILLI;
            let part = VirtTime(next.min(until));
            self.world.step(part).expect("the engines work");
            if self.world.now().0 == next {
                self.hashes.push(self.world.state_hash().unwrap());
            }
            for event in self.world.take_events() {
                if let (Some(node), WorldEventKind::Machine(MachineEvent::Console(bytes))) =
                    (event.node, event.kind)
                {
                    let text = String::from_utf8_lossy(&bytes).replace('\r', "");
                    self.consoles[node].push_str(&text);
                }
            }
        }
    }

    /// Runs until the console of `node` shows `text`, for a minute at most. Returns when.
    fn run_until_shown(&mut self, node: usize, text: &str) -> u64 {
        let limit = self.world.now().0 + 60 * SECOND;
        while !self.consoles[node].contains(text) {
            let now = self.world.now().0;
            assert!(
                now < limit,
                "`{text}` is not shown:\n{}",
                self.consoles[node]
            );
            self.run_to(now + 10 * MILLI);
        }
        self.world.now().0
    }

    fn command(&mut self, command: Command) {
        self.world.command(command).expect("it can be done");
    }
}

/// The times that ping told, in milliseconds.
fn round_trips(console: &str) -> Vec<f64> {
    let time = |line: &str| line.split("time=").nth(1)?.split(' ').next()?.parse().ok();
    console.lines().filter_map(time).collect()
}

fn wan(latency_ns: u64) -> NetworkConfig {
    let mut network = NetworkConfig::new("wan");
    network.shape.latency_ns = latency_ns;
    network
}

#[test]
fn two_kernels_ping_each_other_over_the_latency_of_their_link() {
    for latency in [1, 40] {
        let nodes = vec![
            node(0, "sleep 1; ping -c 3 -i 0.3 10.0.0.2; sleep 9"),
            node(1, "sleep 9"),
        ];
        let mut cluster = Cluster::new(nodes, wan(latency * MILLI), 2);
        cluster.run_until_shown(0, "packets received");
        let times = round_trips(&cluster.consoles[0]);
        assert_eq!(times.len(), 3, "{}", cluster.consoles[0]);
        // The first may wait for the address to be resolved, which takes another round.
        let least = 2.0 * latency as f64;
        assert!(
            times[1..]
                .iter()
                .all(|time| (least..least + 2.0).contains(time)),
            "{times:?}"
        );
        assert!((least..2.0 * least + 3.0).contains(&times[0]), "{times:?}");
    }
}

#[test]
fn threads_make_no_difference_to_real_kernels() {
    let run = |jobs| {
        let nodes = (0..3)
            .map(|index| {
                let peer = (index + 1) % 3 + 1;
                node(
                    index,
                    &format!("sleep 1; ping -c 5 -i 0.2 10.0.0.{peer}; sleep 9"),
                )
            })
            .collect();
        let mut network = wan(MILLI);
        network.shape.jitter_ns = MILLI;
        let mut cluster = Cluster::new(nodes, network, jobs);
        cluster.run_to(4 * SECOND);
        assert!(
            cluster
                .consoles
                .iter()
                .all(|console| round_trips(console).len() == 5)
        );
        (cluster.hashes, cluster.consoles)
    };
    let one = run(1);
    assert_eq!(one.0.len(), 40);
    let two = run(2);
    let differs = one.0.iter().zip(&two.0).find(|(a, b)| a != b);
    assert_eq!(differs.map(|(a, b)| a.differences(b)), None);
    assert_eq!(one, two);
}

#[test]
fn a_guest_notices_a_partition_and_its_end() {
    let nodes = vec![
        node(
            0,
            "sleep 1; echo begin; ping -c 40 -i 0.1 -W 1 10.0.0.2; sleep 9",
        ),
        node(1, "sleep 20"),
    ];
    let mut cluster = Cluster::new(nodes, wan(MILLI), 1);
    let begin = cluster.run_until_shown(0, "begin");
    cluster.run_to(begin + SECOND);
    let fault = LinkFault {
        network: 0,
        from: vec![1],
        to: vec![0],
        kind: LinkFaultKind::Down,
    };
    cluster.command(Command::ArmLink { id: 1, fault });
    cluster.run_to(begin + 2 * SECOND);
    cluster.command(Command::DisarmLink { id: 1 });
    cluster.run_until_shown(0, "packets received");
    let received = round_trips(&cluster.consoles[0]).len();
    // A second of them is lost.
    assert!((25..=33).contains(&received), "{}", cluster.consoles[0]);
}

#[test]
fn a_node_that_is_killed_comes_back_with_what_it_had_synced() {
    let command = "read -r before < /dev/vda; echo \"before: $before\"; \
                   echo \"written $before\" | dd of=/dev/vda conv=fsync,notrunc 2>/dev/null; \
                   echo synced; \
                   echo unsynced > /tmp/x; sleep 60";
    let mut cluster = Cluster::new(vec![node(0, command)], wan(MILLI), 1);
    for before in [
        "before: \n",
        "before: written\n",
        "before: written written\n",
    ] {
        cluster.run_until_shown(0, "synced");
        let console = std::mem::take(&mut cluster.consoles[0]);
        assert!(console.contains(before), "{before}:\n{console}");
        cluster.command(Command::Kill { node: 0 });
        let now = cluster.world.now().0;
        cluster.run_to(now + 100 * MILLI);
        cluster.command(Command::Start { node: 0 });
    }
}

/// Both clocks of a guest now, in nanoseconds: since the boot, and Unix time in whole seconds.
fn clocks(cluster: &mut Cluster) -> (u64, u64) {
    let console = std::mem::take(&mut cluster.consoles[0]);
    let last = console.lines().rfind(|line| line.starts_with("clocks "));
    let mut words = last
        .unwrap_or_else(|| panic!("{console}"))
        .split(' ')
        .skip(1);
    let uptime: f64 = words.next().unwrap().parse().unwrap();
    let unix = words.nth(1).unwrap().parse().unwrap();
    ((uptime * 1e9) as u64, unix)
}

const WATCH: &str = "while :; do echo clocks $(cat /proc/uptime) $(date +%s); sleep 0.1; done";

#[test]
fn pause_and_drift_are_seen_on_the_clocks_of_a_guest() {
    let mut cluster = Cluster::new(vec![node(0, WATCH)], wan(MILLI), 1);
    let begin = cluster.run_until_shown(0, "clocks");
    cluster.run_to(begin + SECOND);
    let first = clocks(&mut cluster);

    // A pause of five seconds passes on both clocks, and nothing is done in it.
    cluster.command(Command::Pause { node: 0 });
    cluster.run_to(begin + 6 * SECOND);
    assert_eq!(cluster.consoles[0], "");
    cluster.command(Command::Resume { node: 0 });
    cluster.run_to(begin + 6 * SECOND + 300 * MILLI);
    let paused = clocks(&mut cluster);
    let passed = paused.0 - first.0;
    assert!(passed.abs_diff(5300 * MILLI) < 300 * MILLI, "{passed}");
    assert!(
        (5..=6).contains(&(paused.1 - first.1)),
        "{first:?} {paused:?}"
    );

    // Ten seconds of the world are twelve of a node that runs a fifth too fast.
    let ppb = 200_000_000;
    cluster.command(Command::Drift { node: 0, ppb });
    cluster.run_to(begin + 16 * SECOND + 300 * MILLI);
    let drifted = clocks(&mut cluster);
    let passed = drifted.0 - paused.0;
    assert!(passed.abs_diff(12 * SECOND) < 300 * MILLI, "{passed}");
    assert!(
        (11..=13).contains(&(drifted.1 - paused.1)),
        "{drifted:?} {paused:?}"
    );

    // And without drift they are ten again.
    cluster.command(Command::Drift { node: 0, ppb: 0 });
    cluster.run_to(begin + 26 * SECOND + 300 * MILLI);
    let passed = clocks(&mut cluster).0 - drifted.0;
    assert!(passed.abs_diff(10 * SECOND) < 300 * MILLI, "{passed}");
}

#[test]
fn a_throttled_guest_does_less_in_the_same_time() {
    let count = "n=0; while :; do n=$((n+1)); [ $((n % 500)) = 0 ] && echo count $n; done";
    let mut cluster = Cluster::new(vec![node(0, count)], wan(MILLI), 1);
    let counted = |cluster: &mut Cluster| {
        std::mem::take(&mut cluster.consoles[0])
            .matches("count")
            .count() as u64
    };
    let begin = cluster.run_until_shown(0, "count");
    cluster.consoles[0].clear();
    cluster.run_to(begin + SECOND / 2);
    let full = counted(&mut cluster);
    let throttle = |num, den| Command::Throttle { node: 0, num, den };
    cluster.command(throttle(1, 10));
    cluster.run_to(begin + SECOND);
    let slow = counted(&mut cluster);
    cluster.command(throttle(1, 1));
    cluster.run_to(begin + SECOND * 3 / 2);
    let again = counted(&mut cluster);
    assert!(
        full > 20 && slow * 8 < full && slow * 13 > full,
        "{full} {slow}"
    );
    assert!(again.abs_diff(full) * 20 < full, "{full} {again}");
}
