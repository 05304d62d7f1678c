//! Network interfaces and names of hosts.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::net::Ipv4Addr;
use std::path::Path;

use chaosrun_protocol::node::{Host, Nic, NodeConfig};

use crate::{report, sys};

/// How long a driver may take to make an interface.
const PATIENCE_MS: u64 = 5_000;

/// Brings up the loopback and each interface, and lets programs find hosts by name.
pub fn bring_up(config: &NodeConfig) {
    report::attempt(
        "bring up the loopback interface",
        sys::configure_interface("lo", Ipv4Addr::LOCALHOST, mask(8), None),
    );
    for nic in &config.nics {
        report::attempt(
            format_args!("bring up the interface {}", nic.mac),
            bring_up_nic(nic),
        );
    }
    report::attempt("write /etc/hosts", name_hosts(&config.hosts));
}

fn bring_up_nic(nic: &Nic) -> io::Result<()> {
    let name = sys::wait_for(PATIENCE_MS, || interface_with(&nic.mac))
        .ok_or_else(|| io::Error::other("there is no interface with this address"))?;
    sys::configure_interface(&name, nic.address, mask(nic.prefix_len), nic.mtu)
}

/// The interface with this hardware address.
fn interface_with(mac: &str) -> Option<String> {
    fs::read_dir("/sys/class/net")
        .ok()?
        .flatten()
        .find(|interface| {
            fs::read_to_string(interface.path().join("address"))
                .is_ok_and(|address| address.trim().eq_ignore_ascii_case(mac))
        })?
        .file_name()
        .into_string()
        .ok()
}

fn mask(prefix_len: u8) -> Ipv4Addr {
    let bits = u32::MAX.checked_shl(32 - u32::from(prefix_len.min(32)));
    Ipv4Addr::from_bits(bits.unwrap_or(0))
}

/// Adds the hosts to /etc/hosts. Names are looked up there and nowhere else, unless the guest brought
/// a configuration that says otherwise.
fn name_hosts(hosts: &[Host]) -> io::Result<()> {
    fs::create_dir_all("/etc")?;
    let is_new = !Path::new("/etc/hosts").exists();
    let mut file = OpenOptions::new()
        .create(true)
        .append(true)
        .open("/etc/hosts")?;
    file.write_all(host_lines(hosts, is_new).as_bytes())?;
    if !Path::new("/etc/nsswitch.conf").exists() {
        fs::write("/etc/nsswitch.conf", "hosts: files\n")?;
    }
    Ok(())
}

fn host_lines(hosts: &[Host], is_new: bool) -> String {
    let mut lines = String::from(if is_new {
        "127.0.0.1 localhost\n"
    } else {
        "\n"
    });
    for host in hosts {
        lines.push_str(&format!("{} {}\n", host.address, host.name));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_follow_the_length_of_the_prefix() {
        assert_eq!(mask(16), Ipv4Addr::new(255, 255, 0, 0));
        assert_eq!(mask(32), Ipv4Addr::new(255, 255, 255, 255));
        assert_eq!(mask(0), Ipv4Addr::new(0, 0, 0, 0));
        assert_eq!(mask(200), Ipv4Addr::new(255, 255, 255, 255));
    }

    #[test]
    fn hosts_are_added_behind_what_is_there() {
        let hosts = [Host {
            name: "n2".into(),
            address: Ipv4Addr::new(10, 1, 0, 2),
        }];
        assert_eq!(
            host_lines(&hosts, true),
            "127.0.0.1 localhost\n10.1.0.2 n2\n"
        );
        assert_eq!(host_lines(&hosts, false), "\n10.1.0.2 n2\n");
    }
}
