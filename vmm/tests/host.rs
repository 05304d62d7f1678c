//! Tells on which host the tests run, since some of them compare with what it does, or need what it has.

use std::fs;
use std::io::Write;

/// What `/proc/cpuinfo` says of the first processor.
fn of_processor(key: &str) -> String {
    let info = fs::read_to_string("/proc/cpuinfo").expect("there is /proc");
    let mut lines = info.lines().filter_map(|line| line.split_once(':'));
    let found = lines.find(|(name, _)| name.trim() == key);
    found.map_or("", |(_, value)| value).trim().to_owned()
}

/// Words of a list with whether they are in it.
fn which(list: &str, words: &[&str]) -> String {
    let has = |word: &&str| {
        let no = if list.split(' ').any(|own| own == *word) {
            ""
        } else {
            "no "
        };
        format!("{no}{word}")
    };
    words.iter().map(has).collect::<Vec<_>>().join(", ")
}

#[test]
fn the_host_is_told() {
    let make = of_processor("vendor_id");
    assert!(!make.is_empty(), "the make of the processor is not known");
    let features = which(
        &of_processor("flags"),
        &[
            "sse4a",
            "avx2",
            "avx512f",
            "split_lock_detect",
            "hypervisor",
        ],
    );
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").expect("it is Linux");
    let cores = std::thread::available_parallelism().expect("it can be counted");
    let kvm = match fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/kvm")
    {
        Ok(_) => "it has KVM".to_owned(),
        Err(error) => format!("no KVM ({error})"),
    };
    let name = of_processor("model name");
    let release = release.trim();
    // Past the harness, which shows nothing of tests that pass.
    let _ = writeln!(
        std::io::stderr(),
        "HOST: {make} ({name}), {features}; {cores} cores, Linux {release}, {kvm}"
    );
}
