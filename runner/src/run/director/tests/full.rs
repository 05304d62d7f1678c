//! Disks that are full, which a device tells of single operations and init of a mounted disk.

use super::*;

/// What the world is told, in words: moments in seconds, starts, and which disks init is to fill.
fn told_of_disks(disk: &str, faults: &str) -> Vec<(u64, String)> {
    let deeds = play(&plan_with(disk, faults), 1);
    let word = |command| match command {
        Command::Control { bytes, .. } => {
            let line = String::from_utf8(bytes).expect("commands are text");
            let command = chaosrun_protocol::control::Command::from_line(&line);
            format!("{:?}", command.expect("it is a command").action)
        }
        Command::ArmDisk { .. } => "arm".to_owned(),
        Command::DisarmDisk { .. } => "disarm".to_owned(),
        Command::Start { .. } => "start".to_owned(),
        _ => "down".to_owned(),
    };
    let commands = commands(&deeds).into_iter();
    commands
        .map(|(at, command)| (at / S, word(command)))
        .collect()
}

const FULL: &str = "DisksFull { disks: [\"data\"] }";
const EMPTY: &str = "DisksFull { disks: [] }";
const MOUNTED: &str = "size=\"4MiB\" filesystem=\"ext4\" mount=\"/data\"";

#[test]
fn each_life_is_told_what_is_full_and_a_node_that_is_down_is_not() {
    let faults = r#"
        at "1s" { disk-full "data" target="n1" for="2s" }
        at "2s" { disk-full "data" target="n1" for="6s" }
        at "4s" { kill "n1" restart-after="1s" }
        at "7s" { kill "n1" restart-after="2s" }
        at "10s" { disk-full "data" target="n1" }
        quiet "12s""#;
    let expected = [
        (1, FULL),
        (2, FULL),
        // One of two has ended.
        (3, FULL),
        (4, "down"),
        (5, "start"),
        (5, FULL),
        (7, "down"),
        // The other ends at 8 s.
        (9, "start"),
        (10, FULL),
        (18, EMPTY),
    ];
    assert_eq!(
        told_of_disks(MOUNTED, faults),
        expected.map(|(at, word)| (at, word.to_owned()))
    );
}

#[test]
fn a_node_that_starts_again_by_itself_is_told_too() {
    let plan = plan_with(
        MOUNTED,
        "at \"1s\" { disk-full \"data\" target=\"n1\" for=\"9s\" }",
    );
    let mut director = Director::new(&plan, &Tape::new(1));
    let told = |deeds: &[Deed]| {
        let control = |deed: &&Deed| matches!(deed, Deed::World(Command::Control { node: 0, .. }));
        deeds.iter().filter(control).count()
    };
    director.mounted(0);
    assert_eq!(told(&director.advance(S)), 1);
    director.ended(0);
    assert!(director.rebooted(3 * S, 0));
    // Not while it boots, and not again when the fault ends before that.
    assert_eq!(told(&director.advance(3 * S)), 0);
    director.mounted(0);
    assert_eq!(told(&director.advance(4 * S)), 1);
    director.ended(0);
    assert!(director.rebooted(5 * S, 0));
    assert_eq!(told(&director.advance(10 * S)), 0);
    director.mounted(0);
    assert_eq!(told(&director.advance(11 * S)), 0);
}

#[test]
fn a_disk_without_mount_and_single_operations_are_the_devices_matter() {
    let full = "at \"1s\" { disk-full \"data\" target=\"n1\" for=\"2s\" }";
    let armed = [(1, "arm".to_owned()), (3, "disarm".to_owned())];
    assert_eq!(told_of_disks("size=\"1MiB\"", full), armed);
    let once = "at \"1s\" { disk-full \"data\" target=\"n1\" times=1 for=\"2s\" }";
    assert_eq!(told_of_disks(MOUNTED, once), armed);
    let here = "at \"1s\" { disk-full \"data\" target=\"n1\" offset=\"1MiB\" for=\"2s\" }";
    assert_eq!(told_of_disks(MOUNTED, here), armed);
}
