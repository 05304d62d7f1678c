//! What a guest's init is told of its node: by the machine at the SDK's port
//! ([`Op::Node`](crate::port::Op::Node)), so that like nodes boot the same bytes; or, where the machine knows
//! nothing, by a file.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

/// Where the configuration is in the guest if the machine does not tell it.
pub const PATH: &str = "/.chaosrun/node.json";
/// Paths of kernel modules (uncompressed), one in each line, in the order in which they are to be loaded.
/// They are loaded before anything else is known of the node.
pub const MODULES: &str = "/.chaosrun/modules/order";
/// The directory of the programs of guests that are crates or binaries; each is named as its guest.
pub const BIN: &str = "/.chaosrun/bin";

/// One node, as its init needs to know it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NodeConfig {
    /// The name of the host.
    pub hostname: String,
    /// All nodes and their addresses, for `/etc/hosts`, in order.
    pub hosts: Vec<Host>,
    /// The network interfaces to bring up.
    pub nics: Vec<Nic>,
    /// The disks to mount, in order, before programs start.
    pub mounts: Vec<Mount>,
    /// The programs to run.
    pub workloads: Vec<Workload>,
}

/// A line of `/etc/hosts`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Host {
    /// The name.
    pub name: String,
    /// The address.
    pub address: Ipv4Addr,
}

/// A network interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nic {
    /// The hardware address that it is found by, as in `52:54:00:00:00:01`.
    pub mac: String,
    /// Its address.
    pub address: Ipv4Addr,
    /// The length of its network's prefix, 0 to 32.
    pub prefix_len: u8,
    /// The longest packet in bytes; none keeps the driver's.
    #[serde(default)]
    pub mtu: Option<u32>,
}

/// A disk with a file system.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mount {
    /// The disk's serial number, by which it is found below `/dev/disk/by-id`.
    pub disk: String,
    /// The directory, which is made if need be.
    pub path: String,
    /// The file system, as in `ext4`.
    pub filesystem: String,
    /// Whether it cannot be written to.
    #[serde(default)]
    pub read_only: bool,
}

/// A program to run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Workload {
    /// The name by which faults and reports refer to it.
    pub name: String,
    /// The path of the program.
    pub program: String,
    /// Its arguments, without the program's name.
    #[serde(default)]
    pub args: Vec<String>,
    /// Its environment; a PATH, HOME and TERM are added where missing.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// The directory that it starts in; none means `/`.
    #[serde(default)]
    pub directory: Option<String>,
    /// Who runs it, as user and group number; none means root.
    #[serde(default)]
    pub user: Option<(u32, u32)>,
    /// When it is started again.
    #[serde(default)]
    pub restart: Restart,
}

/// When a workload that ended is started again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Restart {
    /// Not at all.
    #[default]
    Never,
    /// After a signal or an exit code other than 0.
    OnFailure,
    /// Each time.
    Always,
}

#[cfg(feature = "std")]
impl NodeConfig {
    /// The configuration as text, the same for the same configuration.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_default()
    }

    /// The configuration that a text describes.
    ///
    /// # Errors
    /// If it is not JSON, or says something else.
    pub fn from_json(text: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(text)
    }
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use alloc::vec;

    #[test]
    fn configuration_survives_json() {
        let config = NodeConfig {
            hostname: "n1".to_string(),
            hosts: vec![Host {
                name: "n2".to_string(),
                address: Ipv4Addr::new(10, 1, 0, 2),
            }],
            nics: vec![Nic {
                mac: "52:54:00:00:00:01".to_string(),
                address: Ipv4Addr::new(10, 1, 0, 1),
                prefix_len: 16,
                mtu: Some(1500),
            }],
            mounts: vec![Mount {
                disk: "data".to_string(),
                path: "/data".to_string(),
                filesystem: "ext4".to_string(),
                read_only: true,
            }],
            workloads: vec![Workload {
                name: "raft".to_string(),
                program: "/.chaosrun/bin/raft".to_string(),
                args: vec!["--id".to_string(), "1".to_string()],
                env: BTreeMap::from([("A".to_string(), "b".to_string())]),
                directory: None,
                user: Some((1000, 1000)),
                restart: Restart::OnFailure,
            }],
        };
        let text = config.to_json();
        assert!(text.contains("\"on-failure\""), "{text}");
        assert_eq!(NodeConfig::from_json(text.as_bytes()).unwrap(), config);
    }

    #[test]
    fn everything_but_names_may_be_left_out() {
        let config =
            NodeConfig::from_json(br#"{"workloads":[{"name":"a","program":"/bin/a"}]}"#).unwrap();
        assert_eq!(config.workloads[0].restart, Restart::Never);
        assert!(NodeConfig::from_json(br#"{"hostnam":"n1"}"#).is_err());
    }
}
