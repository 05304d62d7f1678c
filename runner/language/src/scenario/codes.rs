//! Every diagnostic code, with the text that `chaosrun explain` shows.

/// A kind of mistake.
#[derive(Debug, PartialEq, Eq)]
pub struct Code {
    /// The stable name, e.g. `chaosrun::scenario::unknown_key`.
    pub id: &'static str,
    /// What it is, in a few words.
    pub title: &'static str,
    /// What it means and what to do, in Markdown.
    pub explain: &'static str,
}

/// The code of that name, with or without its prefix.
#[must_use]
pub fn find(id: &str) -> Option<&'static Code> {
    ALL.iter().copied().find(|c| {
        c.id == id
            || c.id.rsplit("::").next() == Some(id)
            || c.id.strip_prefix("chaosrun::") == Some(id)
    })
}

macro_rules! codes {
    ($($name:ident = $id:literal, $title:literal, $explain:literal;)*) => {
        $(
            #[doc = $title]
            pub static $name: &Code = &Code {
                id: concat!("chaosrun::", $id),
                title: $title,
                explain: $explain,
            };
        )*

        /// All codes, in the order in which they are documented.
        pub static ALL: &[&Code] = &[$(&Code {
            id: concat!("chaosrun::", $id),
            title: $title,
            explain: $explain,
        }),*];

        /// The names of the constants of this module, for the test that each is used.
        pub const CONSTANTS: &[&str] = &[$(stringify!($name)),*];
    };
}

codes! {
UNREADABLE = "scenario::unreadable", "a file can't be read",
"A scenario, or a file that it includes, can't be read: it is missing, a directory, \
 a loop of symbolic links, or its permissions forbid it.

The path on the command line is relative to the current directory; that of an \
 `include` is relative to the file that includes.";

UNKNOWN_LANGUAGE = "scenario::unknown_language", "the file's extension is neither .kdl nor .toml",
"A scenario is written in KDL or in TOML, and its extension says which: `raft.kdl`, \
 `raft.toml`. Both mean the same.";

NOT_UTF8 = "scenario::not_utf8", "the file is not UTF-8",
"Scenarios are text in UTF-8. The message names the first byte that is none. An \
 editor that saves as Latin-1, or a binary file given by mistake, leads here.";

NUL_BYTE = "scenario::nul_byte", "the file contains a NUL byte",
"A text file has no NUL bytes. The path probably names another kind of file, or the \
 file was truncated by a crash and filled with zeros.";

TOO_LARGE = "scenario::too_large", "the file is too large",
"A scenario file may have at most 8 MiB, so that a wrong path can't use up memory \
 and time. Generated scenarios get short by `replicas`, templates, selectors \
 (`any=1`, `tag=\"db\"`) and `every`.";

TOO_DEEP = "scenario::too_deep", "blocks are nested too deep",
"Blocks, tables or lists are nested more than 64 deep. The language itself needs \
 five. Mostly a closing brace or bracket is missing further up.";

KDL_SYNTAX = "scenario::kdl_syntax", "the text is not KDL 2",
"The file can't be read as KDL 2.0 (<https://kdl.dev>). In short:

```kdl
key \"argument\" property=\"value\" {
    child \"a\" \"b\"       // a child has no `=`
    flag                 // a key alone is switched on
}
```

Text with other characters than letters, digits, `-`, `_` and `.` needs quotes; so \
 do values with a unit: `\"5s\"`. After a mistake the rest of its line is skipped \
 and reading goes on.";

KDL_BARE_KEYWORD = "scenario::kdl_bare_keyword", "a keyword needs a `#` in KDL 2",
"KDL 2 writes `#true`, `#false` and `#null`; the bare words belong to KDL 1.

```kdl
disk \"data\" size=\"1MiB\" read-only=#true
```";

KDL_UNCLOSED = "scenario::kdl_unclosed", "a `{` is never closed",
"The file ends before a block does. Only the innermost block is named; count the closing braces from there.";

PROPERTY_AFTER_CHILDREN = "scenario::property_after_children",
"arguments and properties stand before the children",
"In KDL a node's arguments and properties come first, then its children:

```kdl
partition \"lan\" for=\"3s\" { side \"n1\"; side \"n2\" \"n3\" }    // right
partition \"lan\" { side \"n1\"; side \"n2\" \"n3\" } for=\"3s\"    // wrong
```";

TOML_SYNTAX = "scenario::toml_syntax", "the text is not TOML",
"The file can't be read as TOML (<https://toml.io>). Values with a unit are strings: `latency = \"1ms\"`. A table is written once; things of which there may be several are `[[arrays of tables]]`.";

TOML_1_1 = "scenario::toml_1_1", "the file needs TOML 1.1",
"The file uses what only TOML 1.1 allows: a table in braces that spans lines or ends \
 with a comma, or the escapes `\\e` and `\\x`. chaosrun reads it, but Nix's \
 `fromTOML`, editors and older tools do not. Write a `[table]` instead of the braces.";

NO_SCENARIO = "scenario::no_scenario", "the file has no scenario",
"A KDL file has one node `scenario` with everything in it:

```kdl
scenario \"first\" schema=1 {
    node \"n1\"
}
```

A TOML file is the scenario: `name = \"first\"` and `schema = 1` stand at its top.";

SEVERAL_SCENARIOS = "scenario::several_scenarios", "the file has more than one scenario",
"A file has one scenario. To have several that differ in a few settings use \
 `matrix`; to share settings among files use `include`.";

SCHEMA_TOO_NEW = "scenario::schema_too_new", "the file is written in a newer version of the language",
"`schema` says in which version of the language the file is written. This chaosrun \
 knows version 1. Update chaosrun, or write the file in version 1 if it uses nothing \
 newer.";

UNKNOWN_KEY = "scenario::unknown_key", "a key that the block does not have",
"The block has no such key. Unknown keys are errors, because a fault or a property \
 that is silently left out would make a test pass that checks nothing.

Keys that begin with `x-` are yours: they are ignored everywhere, e.g. to keep \
 notes for other tools.";

DUPLICATE_KEY = "scenario::duplicate_key", "a key is written twice",
"A key that has one value is written once. Which of two is meant can't be known, so that neither is taken.";

CONFLICTING_KEYS = "scenario::conflicting_keys", "keys that exclude each other",
"These keys say the same thing in different ways, e.g. `crate` and `binary` of a \
 guest, or `groups` and `side` of a partition. Keep one of them.";

MISSING_KEY = "scenario::missing_key", "a key is missing",
"The block means nothing without this key, and there is no default that would be \
 right for all. The message shows an example.";

WRONG_TYPE = "scenario::wrong_type", "a value of the wrong type",
"The key wants another type of value. Durations, sizes, rates and probabilities are \
 strings with a unit: `\"5s\"`, `\"128MiB\"`, `\"1/s\"`, `\"0.1%\"`. Numbers have no \
 quotes. In KDL truth is `#true` and `#false`.";

MISSING_UNIT = "scenario::missing_unit", "a number without a unit",
"A bare number could be seconds or milliseconds, bytes or mebibytes. Write the unit:

| what | units |
|---|---|
| duration | `ns` `us` `ms` `s` `m` `h`, joined as in `1m30s` |
| size | `B` `KiB` `MiB` `GiB` `TiB` |
| bandwidth | `bit` `kbit` `Mbit` `Gbit` (per second) |
| rate | `1/s`, `5/100ms` |
| probability | `0.1%`, `1/1000` |
| drift | `ppm` `ppb` `%` |";

AMBIGUOUS_UNIT = "scenario::ambiguous_unit", "a unit that people read in two ways",
"`MB` is 1,000,000 bytes to some and 1,048,576 to others, `Mbps` is bits to some and \
 bytes to others. Write `MiB`, or `Mbit`.";

BAD_VALUE = "scenario::bad_value", "a value that can't be read",
"The text has not the form that its key wants; the message says which part is wrong and shows an example.";

OUT_OF_RANGE = "scenario::out_of_range", "a value out of range",
"The value is readable, but too large or too small for its key. The message tells the limits.";

PROBABILITY_ABOVE_ONE = "scenario::probability_above_one", "a probability of more than 100%",
"Nothing happens more often than always. A probability is between `0%` and `100%`; \
 how often something happens per time is a rate, e.g. `5/s`.";

SEED_OUT_OF_RANGE = "scenario::seed_out_of_range", "a seed out of range",
"A seed is a whole number from 0 to 9223372036854775807 (2^63 - 1): the range that \
 KDL, TOML and JSON tools all keep exact in a signed 64-bit integer.";

NOT_ONE_OF = "scenario::not_one_of", "a word that the key does not know",
"The key takes one of a few words; the message lists them, and names the one that is \
 nearest to what is written.";

TOO_MANY_VALUES = "scenario::too_many_values", "more values than the key takes",
"The key takes fewer values. To have several blocks of a kind, write the key once for each:

```kdl
network \"lan\"
network \"wan\"
```";

EMPTY_LIST = "scenario::empty_list", "a list of nothing",
"The list is empty. That would select nothing and so do nothing; leave the key out to have its default.";

BAD_NAME = "scenario::bad_name", "not a name",
"Names become host names, file names and parts of reports. They have letters, digits \
 and `-` (except for nodes also `_`, `.` and blanks), begin and end with a letter or \
 digit, and have at most 63 characters. A node can't be called `all`, `any`, \
 `minority` or `majority`.";

INCLUDE_CYCLE = "scenario::include_cycle", "files include each other in a circle",
"A file includes itself, perhaps through others. Move what both need into a third \
 file that includes neither.";

TOO_MANY_INCLUDES = "scenario::too_many_includes", "too many files are included",
"Includes may be 16 deep, and 256 files in all, so that a chain of files ends in \
 bounded time. Join some of the files.";

BAD_AXIS = "scenario::bad_axis", "an axis names no setting",
"An axis' path names a setting as keys and names parted by dots, from the scenario \
 inwards: `kernel`, `run.duration`, `network.lan.loss`, `node.n1.memory`. With `*` \
 in the place of a name all are set: `node.*.memory`. The path must lead to one \
 value, not to a block.";

MATRIX_TOO_LARGE = "scenario::matrix_too_large", "the matrix has too many combinations",
"The axes of a matrix are combined with each other. More than 1,000 combinations are \
 more than a person wants to read; use `run seeds=` for many runs of the same \
 scenario, or `exclude`.";

UNDEFINED_NAME = "plan::undefined_name", "a name that nothing has",
"Something is referred to by a name that is not defined: a node, guest, network, \
 disk, template, tag or role. The second label shows where such things are defined.";

DUPLICATE_NAME = "plan::duplicate_name", "two things have the same name",
"Two nodes (networks, guests, faults, properties, ...) have the same name, so that a \
 reference to it could mean either. Replicas count: `node \"n\" replicas=3` makes \
 n1, n2 and n3.";

NO_NODES = "plan::no_nodes", "the scenario has no nodes",
"There is nothing to run. Add at least one node: `node \"n1\"`, or in TOML a table `[node.n1]`.";

TOO_MANY_NODES = "plan::too_many_nodes", "the scenario has too many nodes",
"A scenario may have up to 4,096 nodes, replicas included. Clusters of that size are \
 far beyond what one machine simulates quickly.";

MISSING_SOURCE = "plan::missing_source", "nothing says what to run",
"A guest is made from a `crate`, a `binary`, an `initrd` or a `directory`; a kernel \
 has a name or a `path`; a disk has a `size`, an `image` or a `base`; a file has \
 `from` or `content`. One of them is needed.";

MISSING_FILE = "plan::missing_file", "a file that the scenario needs is missing",
"A kernel, initrd, image, binary, crate or other file can't be read. Paths are \
 relative to the file that has them. This is looked at after everything else, so \
 that a scenario can be written before its files exist.";

BAD_FILE = "plan::bad_file", "a file is not what the key needs",
"The path exists, but is something else: a folder where a file is needed, or a \
 folder without a Cargo.toml where a crate is.";

EMPTY_SELECTOR = "plan::empty_selector", "a selector selects nothing",
"No node is selected, so that the fault would never happen or the property never be \
 judged. Tags and roles must both fit if both are given.";

TOO_FEW_NODES = "plan::too_few_nodes", "a selector wants more nodes than there are",
"The selector wants more than there is: `any=5` of three nodes, a minority of one or two nodes, or five \
 groups of three nodes.";

OVERLAPPING_SIDES = "plan::overlapping_sides", "a node is on two sides of a partition",
"A node can be on one side of a partition only. A node that is on no side keeps all its links.";

NOT_CONNECTED = "plan::not_connected", "a node is not on the network",
"A fault, link or address refers to a network that the node isn't on. Add `network \"...\"` to the node.";

NO_SUCH_DISK = "plan::no_such_disk", "a node has no such disk",
"A disk fault names a disk that none of the selected nodes has, or they have no disks at all.";

BAD_ADDRESS = "plan::bad_address", "an address that can't be used",
"Subnets are written `10.1.0.0/16`, addresses `10.1.0.7`, Ethernet addresses \
 `52:54:00:00:00:01`. An address must be inside its network's subnet, not its first \
 or last, and no two nodes can have the same; a subnet must have room for all nodes.";

BAD_PATTERN = "plan::bad_pattern", "a pattern that can't be read",
"A pattern is a piece of text that is looked for as it is, or a regular expression \
 between slashes: `console=\"/panicked at .*raft/\"`. The expression has a syntax \
 error.";

OUTSIDE_RUN = "plan::outside_run", "a fault lies outside the run",
"The run is over, or the quiet period has begun, before the fault's moment. Times \
 count from when all nodes are ready; faults happen before `duration - quiet`. \
 Faults that begin in time and would last longer are healed when the quiet period \
 begins.";

CANCELLED_FAULT = "plan::cancelled_fault", "a fault has no effect because of another",
"Two faults cancel each other: a node is killed while it is paused or already down, \
 paused while it is down, resumed while it runs. The later one does nothing, which \
 is seldom what was meant.";

HEAL_WITHOUT_FAULT = "plan::heal_without_fault", "nothing to heal",
"`heal`, `restart` or `resume` comes when no earlier fault can have left anything to \
 end. Maybe the moment is wrong, or the fault has a `for` and ends by itself.";

NO_QUIET = "plan::no_quiet", "liveness is judged after a quiet period that is missing",
"A property is judged after the quiet period begins, but `faults` has none. While \
 faults go on a system may be unable to make progress through no fault of its own. \
 Add `quiet \"10s\"` to `faults`, or `after=\"start\"` to the property.";

TOO_SHORT_QUIET = "plan::too_short_quiet", "the quiet period is too short for a property",
"The property has more time than is left, so that it could not be decided and the \
 verdict would be inconclusive. Make `quiet` or the run longer, or `within` shorter.";

OVER_BUDGET = "plan::over_budget", "a fault that the budget never allows",
"The fault needs more nodes at once than the budget allows, so that it would wait \
 for ever. Raise the budget or let the fault hit fewer nodes.";

UNKNOWN_ASSERTION = "plan::unknown_assertion", "no guest has an assertion of this name",
"The guests' catalogue of SDK assertions doesn't have this message, so that the \
 property could never be judged. The catalogue is known when the guests have been \
 built.";

NO_PUBLISHER = "plan::no_sdk", "no guest can report what the property needs",
"The property is about SDK assertions, published values or recorded operations, but no node runs a guest.";

UNUSED = "plan::unused", "something is defined and never used",
"A guest, network or template is defined, but no node uses it. Maybe a line is missing in a node.";
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_code_is_unique_and_explained() {
        let ids: BTreeSet<_> = ALL.iter().map(|c| c.id).collect();
        assert_eq!(ids.len(), ALL.len());
        for code in ALL {
            assert!(
                code.explain.len() > 60,
                "{} needs a longer explanation",
                code.id
            );
            assert!(
                find(code.id).is_some()
                    && find(code.id.rsplit("::").next().unwrap_or_default()).is_some()
            );
        }
    }

    #[test]
    fn every_code_is_used_somewhere() {
        let mut text = String::new();
        let mut folders = vec![std::path::PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src")];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder)
                .unwrap()
                .map(|e| e.unwrap().path())
            {
                match entry.extension().and_then(|e| e.to_str()) {
                    _ if entry.is_dir() => folders.push(entry),
                    Some("rs") => text.push_str(&std::fs::read_to_string(entry).unwrap()),
                    _ => {}
                }
            }
        }
        for name in CONSTANTS {
            assert!(
                text.contains(&format!("codes::{name}")),
                "{name} is explained but never used"
            );
        }
    }
}
