//! Every node talks to every other one.

use std::net::{IpAddr, SocketAddr};
use std::thread;
use std::time::Duration;

use crate::{ask, ready, serve};

/// The port of all nodes.
const PORT: u16 = 7000;
/// The pause between two questions to one node.
const PAUSE: Duration = Duration::from_millis(50);

/// Answers all, and asks each.
pub fn run() -> Result<(), String> {
    let listener = serve::listen(PORT)?;
    let hosts = std::fs::read_to_string("/etc/hosts").map_err(|e| format!("/etc/hosts: {e}"))?;
    let own = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    for (name, address) in others(&hosts, own.trim()) {
        println!("talking to {name}");
        thread::spawn(move || ask::ask(SocketAddr::new(address, PORT), PAUSE, |_| true));
    }
    serve::serve(listener, ready)
}

/// All hosts but this one; each address once, in the file's order.
fn others(hosts: &str, own: &str) -> Vec<(String, IpAddr)> {
    let mut others: Vec<(String, IpAddr)> = Vec::new();
    for line in hosts.lines() {
        let mut words = line
            .split('#')
            .next()
            .unwrap_or_default()
            .split_whitespace();
        let address = words.next().and_then(|word| word.parse::<IpAddr>().ok());
        let (Some(address), Some(name)) = (address, words.next()) else {
            continue;
        };
        let is_known = others.iter().any(|(_, other)| *other == address);
        if name != own && !address.is_loopback() && !is_known {
            others.push((name.into(), address));
        }
    }
    others
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_hosts_are_found() {
        let hosts = "127.0.0.1 localhost\n# 10.0.0.9 none\n10.1.0.1 n1\n10.1.0.2\tn2 two # second\n\
                     10.1.0.2 again\nnonsense\n::1 ip6-localhost\n10.1.0.3 n3\n";
        let names: Vec<_> = others(hosts, "n1")
            .into_iter()
            .map(|(name, _)| name)
            .collect();
        assert_eq!(names, ["n2", "n3"]);
    }
}
