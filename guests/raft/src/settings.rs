//! What the environment says: who this is, who the servers are and where.
//!
//! | variable | meaning | default |
//! |---|---|---|
//! | `RAFT_SERVERS` | the servers, as names or `name=address:port`, parted by commas | hosts called `n` and a number |
//! | `RAFT_NAME` | the name of this one | the host's name |
//! | `RAFT_PORT` | the port of servers that are given by name | 7000 |
//! | `RAFT_DISK` | the disk | `/dev/disk/by-id/virtio-data`, or `/dev/vda` if that is not there |
//! | `RAFT_BUG` | a planted bug, see [`crate::bugs`] | none |
//! | `RAFT_PREVOTE` | `1` asks before elections | `0` |
//! | `RAFT_WORKERS` | how many operations the client has under way at once | 4 |
//! | `RAFT_PAUSE` | the longest pause between a worker's operations, in milliseconds | 160 |

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::{env, fs};

use crate::bugs::{Bugs, UnknownBug};
use crate::protocol::NodeId;

/// What the environment says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The name of this one.
    pub name: String,
    /// The servers in the order of their names' numbers.
    pub servers: Vec<Server>,
    /// The disk.
    pub disk: PathBuf,
    /// The planted bug.
    pub bugs: Bugs,
    /// Whether servers ask before elections.
    pub pre_vote: bool,
    /// How many operations the client has under way at once.
    pub workers: u64,
    /// The longest pause between a worker's operations, in milliseconds.
    pub pause: u64,
}

/// A server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Its number, from 1.
    pub id: NodeId,
    /// Its name.
    pub name: String,
    /// Where it listens.
    pub address: SocketAddr,
}

/// What the environment says makes no sense.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// A variable's value is no number, or none that is possible.
    #[error("{0} is `{1}`, which is not a number that makes sense")]
    Number(&'static str, String),
    /// A server's address is not known.
    #[error("`{0}` is neither a host in /etc/hosts nor `name=address:port`")]
    Unknown(String),
    /// There are no servers.
    #[error("no servers: set RAFT_SERVERS, or have hosts n1, n2, ... in /etc/hosts")]
    NoServers,
    /// There is no such bug.
    #[error(transparent)]
    Bug(#[from] UnknownBug),
}

/// How a variable of the environment is looked up.
type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

impl Settings {
    /// Reads the environment, the host's name and `/etc/hosts`.
    ///
    /// # Errors
    /// If they make no sense.
    pub fn read() -> Result<Settings, SettingsError> {
        let text = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let host = text("/proc/sys/kernel/hostname");
        Self::from(
            &|name| env::var(name).ok(),
            host.trim(),
            &text("/etc/hosts"),
        )
    }

    fn from(lookup: Lookup<'_>, host: &str, hosts: &str) -> Result<Settings, SettingsError> {
        let hosts = parse_hosts(hosts);
        let port = number(lookup, "RAFT_PORT", 7000, 1..=65535)? as u16;
        let names = match lookup("RAFT_SERVERS").filter(|names| !names.trim().is_empty()) {
            Some(names) => names
                .split(',')
                .map(|name| name.trim().to_owned())
                .collect(),
            None => numbered(&hosts),
        };
        let mut servers = Vec::new();
        for name in names {
            let id = servers.len() as NodeId + 1;
            servers.push(server(id, &name, &hosts, port)?);
        }
        if servers.is_empty() {
            return Err(SettingsError::NoServers);
        }
        let by_id = "/dev/disk/by-id/virtio-data";
        let usual = if Path::new(by_id).exists() {
            by_id
        } else {
            "/dev/vda"
        };
        Ok(Settings {
            name: lookup("RAFT_NAME").unwrap_or_else(|| host.to_owned()),
            servers,
            disk: lookup("RAFT_DISK")
                .unwrap_or_else(|| usual.to_owned())
                .into(),
            bugs: Bugs::parse(lookup("RAFT_BUG").as_deref())?,
            pre_vote: number(lookup, "RAFT_PREVOTE", 0, 0..=1)? == 1,
            workers: number(lookup, "RAFT_WORKERS", 4, 1..=64)?,
            pause: number(lookup, "RAFT_PAUSE", 160, 1..=60_000)?,
        })
    }

    /// The server that this one is.
    pub fn me(&self) -> Option<&Server> {
        self.servers.iter().find(|server| server.name == self.name)
    }
}

fn number(
    lookup: Lookup<'_>,
    name: &'static str,
    usual: u64,
    range: std::ops::RangeInclusive<u64>,
) -> Result<u64, SettingsError> {
    let Some(text) = lookup(name) else {
        return Ok(usual);
    };
    let parsed = text
        .trim()
        .parse()
        .ok()
        .filter(|number| range.contains(number));
    parsed.ok_or(SettingsError::Number(name, text))
}

fn parse_hosts(text: &str) -> Vec<(String, IpAddr)> {
    let mut hosts = Vec::new();
    for line in text.lines() {
        let mut words = line
            .split('#')
            .next()
            .unwrap_or_default()
            .split_whitespace();
        if let Some(address) = words.next().and_then(|word| word.parse().ok()) {
            hosts.extend(words.map(|name| (name.to_owned(), address)));
        }
    }
    hosts
}

/// The hosts that are called `n` and a number, in the order of the numbers.
fn numbered(hosts: &[(String, IpAddr)]) -> Vec<String> {
    let number = |name: &str| {
        name.strip_prefix('n')?
            .trim_start_matches('-')
            .parse::<u64>()
            .ok()
    };
    let mut found: Vec<(u64, String)> = hosts
        .iter()
        .filter_map(|(name, _)| Some((number(name)?, name.clone())))
        .collect();
    found.sort();
    found.dedup();
    found.into_iter().map(|(_, name)| name).collect()
}

fn server(
    id: NodeId,
    text: &str,
    hosts: &[(String, IpAddr)],
    port: u16,
) -> Result<Server, SettingsError> {
    let (name, address) = match text.split_once('=') {
        Some((name, address)) => (name, address.parse().ok()),
        None => {
            // A host has its own name also on the loopback, where nobody else would find it.
            let mut own = hosts
                .iter()
                .filter(|(name, address)| name == text && !address.is_loopback());
            (
                text,
                own.next()
                    .map(|(_, address)| SocketAddr::new(*address, port)),
            )
        }
    };
    let address = address.ok_or_else(|| SettingsError::Unknown(text.to_owned()))?;
    Ok(Server {
        id,
        name: name.to_owned(),
        address,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTS: &str =
        "127.0.0.1 localhost n2\n# none\n10.0.0.11 n10\n10.0.0.2 n2\n10.0.0.9 client\n";

    fn read(variables: &[(&str, &str)]) -> Result<Settings, SettingsError> {
        let lookup = |name: &str| {
            variables
                .iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| (*value).to_owned())
        };
        Settings::from(&lookup, "n2", HOSTS)
    }

    #[test]
    fn servers_are_the_numbered_hosts_in_order() {
        let settings = read(&[]).unwrap();
        let names: Vec<_> = settings
            .servers
            .iter()
            .map(|server| &server.name[..])
            .collect();
        assert_eq!(names, ["n2", "n10"]);
        assert_eq!(
            settings.me().unwrap().address,
            "10.0.0.2:7000".parse().unwrap()
        );
    }

    #[test]
    fn servers_can_be_named_with_or_without_addresses() {
        let settings = read(&[("RAFT_SERVERS", "a=127.0.0.1:1, n10"), ("RAFT_NAME", "a")]).unwrap();
        assert_eq!(settings.me().unwrap().address.port(), 1);
        assert_eq!(
            settings.servers[1].address,
            "10.0.0.11:7000".parse().unwrap()
        );
    }

    #[test]
    fn what_makes_no_sense_is_refused_by_name() {
        for (name, value) in [
            ("RAFT_SERVERS", "nobody"),
            ("RAFT_BUG", "none-such"),
            ("RAFT_PORT", "70000"),
            ("RAFT_WORKERS", "many"),
        ] {
            let message = read(&[(name, value)]).unwrap_err().to_string();
            assert!(message.contains(value), "{message}");
        }
    }
}
