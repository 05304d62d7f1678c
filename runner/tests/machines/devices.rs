//! Linux's own drivers with the virtio devices, and faults of disks as programs see them.

use chaosrun_vmm::disk::{Base, Disk, DiskConfig, DiskFault, DiskFaultKind};
use chaosrun_vmm::machine::{
    Input, Machine, MachineConfig, MachineEvent, OutputKind, StateHash, Stop,
};
use chaosrun_vmm::tape::Tape;
use chaosrun_vmm::time::VirtTime;
use chaosrun_vmm::world::Chance;

use super::guest::{MILLI, QUIET, SECOND, busybox_root, debian, pack, tiny};

/// The address of the host that answers, and of the guest's interface.
const PEER: [u8; 6] = [2, 0, 0, 0, 0, 2];
const OWN: [u8; 6] = [2, 0, 0, 0, 0, 1];
const PEER_IP: [u8; 4] = [10, 0, 0, 2];

/// What a machine did.
struct Run {
    console: String,
    control: String,
    frames: usize,
    hashes: Vec<StateHash>,
    disks: Vec<Disk>,
}

/// A machine with all devices that runs `command` until it switches itself off.
struct Bench<'a> {
    kernel: &'a [u8],
    command: &'a str,
    disks: Vec<Disk>,
    /// Faults of the first disk, armed when the guest says "arm" on its control console.
    faults: Vec<DiskFault>,
    vcpus: u32,
    /// The longest stretch that is run at once.
    step: u64,
}

impl<'a> Bench<'a> {
    fn new(command: &'a str) -> Self {
        Self {
            kernel: tiny(),
            command,
            disks: vec![Disk::blank("data", 8 << 20).unwrap()],
            faults: Vec::new(),
            vcpus: 1,
            step: u64::MAX,
        }
    }

    fn run(&self) -> Run {
        let initrd = pack(&busybox_root(self.command));
        let config = MachineConfig {
            vcpus: self.vcpus,
            initrd: Some(&initrd),
            cmdline: QUIET.to_owned(),
            disks: self.disks.clone(),
            nics: vec![OWN],
            control: true,
            entropy: true,
            external_input: true,
            tape: Tape::new(21),
            ..MachineConfig::new(self.kernel)
        };
        let mut machine = Machine::new(&config).expect("the machine can be made");
        let mut run = Run {
            console: String::new(),
            control: String::new(),
            frames: 0,
            hashes: Vec::new(),
            disks: Vec::new(),
        };
        loop {
            // Inputs are given at multiples of a millisecond, whatever the length of a step.
            let now = machine.now().0;
            let next = (now / MILLI + 1) * MILLI;
            let until = next.min(now.saturating_add(self.step));
            let stop = machine.run_until(VirtTime(until)).unwrap();
            if machine.now().0 < next && stop == Stop::Reached {
                continue;
            }
            self.exchange(&mut machine, &mut run);
            if machine.now().0.is_multiple_of(100 * MILLI) || stop != Stop::Reached {
                run.hashes.push(machine.state_hash().unwrap());
            }
            if stop != Stop::Reached || machine.now().0 > 200 * SECOND {
                assert_eq!(stop, Stop::PowerOff, "console:\n{}", run.console);
                run.disks = machine.into_disks();
                return run;
            }
        }
    }

    /// Answers what the guest sent.
    fn exchange(&self, machine: &mut Machine, run: &mut Run) {
        for output in machine.take_outputs() {
            match output.kind {
                OutputKind::Event(MachineEvent::Console(bytes)) => run.console += &text(&bytes),
                OutputKind::Event(MachineEvent::Control(bytes)) => run.control += &text(&bytes),
                OutputKind::Frame { nic, bytes } => {
                    run.frames += 1;
                    if let Some(bytes) = arp_reply(&bytes) {
                        machine.input(Input::Frame { nic, bytes });
                    }
                }
                other => panic!("{other:?}"),
            }
        }
        while let Some((line, rest)) = run.control.split_once('\n') {
            let (line, rest) = (line.to_owned(), rest.to_owned());
            run.control = rest;
            if line == "arm" {
                let disk = machine.disk_mut(0).unwrap();
                for (id, fault) in (0..).zip(&self.faults) {
                    disk.arm(id, *fault);
                }
            }
            machine.input(Input::Control(format!("{line} heard\n").into_bytes()));
        }
    }
}

impl Run {
    /// The lines that the program printed, without the kernel's.
    fn lines(&self) -> Vec<&str> {
        let lines = self.console.lines().map(str::trim_end);
        lines
            .skip_while(|line| *line != "[program begins]")
            .skip(1)
            .take_while(|line| !line.starts_with("[program ends]"))
            .filter(|line| !line.starts_with("[ "))
            .collect()
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).replace('\r', "")
}

/// The answer to a question for the peer's hardware address (RFC 826).
fn arp_reply(frame: &[u8]) -> Option<Vec<u8>> {
    let is_question = frame.len() >= 42 && frame[12..14] == [8, 6] && frame[20..22] == [0, 1];
    if !is_question || frame[38..42] != PEER_IP {
        return None;
    }
    let mut reply = [&frame[6..12], &PEER, &frame[12..20], &[0, 2]].concat();
    reply.extend([&PEER[..], &PEER_IP, &frame[22..32]].concat());
    Some(reply)
}

/// Makes the control console a plain line and waits until the host has armed its faults.
const ARM: &str = "stty raw -echo < /dev/hvc0; echo arm > /dev/hvc0; head -n 1 /dev/hvc0";

const TOUR: &str = "\
    cat /sys/block/vda/serial; echo; cat /sys/block/vda/size /sys/block/vda/queue/write_cache
    seq 1 100000 > /tmp/data
    dd if=/tmp/data of=/dev/vda bs=16k conv=fsync 2>/dev/null
    echo 3 > /proc/sys/vm/drop_caches
    cmp -n $(stat -c %s /tmp/data) /tmp/data /dev/vda && echo same
    cat /sys/class/misc/hw_random/rng_current; head -c 16 /dev/hwrng | wc -c
    stty raw -echo < /dev/hvc0; echo hello > /dev/hvc0; head -n 1 /dev/hvc0
    ip link set eth0 up; ip addr add 10.0.0.1/24 dev eth0; cat /sys/class/net/eth0/address
    arping -c 1 -I eth0 10.0.0.2 | grep -c 'reply from 10.0.0.2 .02:00:00:00:00:02.'";

#[test]
fn linux_drives_disk_network_console_and_random_numbers() {
    let expected = [
        "data",
        "16384",
        "write back",
        "same",
        "virtio_rng.0",
        "16",
        "hello heard",
        "02:00:00:00:00:01",
        "1",
    ];
    for vcpus in [1, 4] {
        let bench = Bench {
            vcpus,
            ..Bench::new(TOUR)
        };
        let run = bench.run();
        assert_eq!(run.lines(), expected, "{}", run.console);
        assert!(run.frames >= 1);
        assert!(run.disks[0].counters().flushes > 0);
    }
}

#[test]
fn the_same_tour_ends_in_the_same_state_however_time_is_cut() {
    let run = |step| {
        let bench = Bench {
            vcpus: 2,
            step,
            ..Bench::new(TOUR)
        };
        bench.run()
    };
    let whole = run(u64::MAX);
    assert!(whole.hashes.len() > 3);
    for step in [u64::MAX, 7_777] {
        let other = run(step);
        for (left, right) in whole.hashes.iter().zip(&other.hashes) {
            assert_eq!(
                left.differences(right),
                Vec::<&str>::new(),
                "{:?}",
                left.time
            );
        }
        assert_eq!(whole.hashes, other.hashes);
    }
}

#[test]
fn debians_kernel_finds_the_same_slots_in_its_firmware_tables() {
    // Its drivers are modules, which this initial RAM disk does not have.
    let bench = Bench {
        kernel: debian(),
        ..Bench::new("ls /sys/bus/acpi/devices | grep -c LNRO0005")
    };
    assert_eq!(bench.run().lines(), ["4"]);
}

#[test]
fn unflushed_data_are_gone_after_a_power_loss_and_flushed_ones_are_not() {
    let command = "\
        printf flushed | dd of=/dev/vda bs=512 conv=sync,fsync 2>/dev/null
        printf written | dd of=/dev/vda bs=512 seek=8 conv=sync oflag=direct 2>/dev/null";
    let mut disk = Bench::new(command).run().disks.remove(0);
    let read = "\
        for sector in 0 8
        do dd if=/dev/vda bs=512 skip=$sector count=1 2>/dev/null | tr -d '\\0'; echo
        done";
    let seen = |disk: Disk| {
        let bench = Bench {
            disks: vec![disk],
            ..Bench::new(read)
        };
        bench.run().lines().join(" ")
    };
    assert_eq!(seen(disk.clone()), "flushed written");
    disk.power_loss(Chance::NEVER, &mut Tape::new(1).stream("n/power"));
    assert_eq!(seen(disk), "flushed ");
}

#[test]
fn faults_of_a_disk_reach_programs() {
    let cases: [(DiskFaultKind, &str, &str, &str); 5] = [
        (
            DiskFaultKind::ReadError,
            "dd if=/dev/vda of=/dev/null bs=4k count=1 iflag=direct 2>&1 | grep -c 'Input/output error'",
            "1",
            "0",
        ),
        (
            DiskFaultKind::WriteError,
            "dd if=/dev/zero of=/dev/vda bs=4k count=1 oflag=direct 2>&1 | grep -c 'Input/output error'",
            "1",
            "0",
        ),
        (
            DiskFaultKind::Full,
            "dd if=/dev/zero of=/dev/vda bs=4k seek=64 count=1 oflag=direct 2>&1 | \
             grep -c 'Input/output error'",
            "1",
            "0",
        ),
        (
            DiskFaultKind::BitFlip { bits: 1 },
            "dd if=/dev/vda bs=4k count=1 skip=1 iflag=direct 2>/dev/null | \
             cmp -n 4096 - /dev/zero > /dev/null; echo $?",
            "1",
            "0",
        ),
        (
            DiskFaultKind::Misdirected,
            "yes | dd of=/dev/vda bs=512 count=1 iflag=fullblock oflag=direct 2>/dev/null; \
             dd if=/dev/vda bs=512 count=1 iflag=direct 2>/dev/null | head -c 1 | tr '\\0' n; echo",
            "n",
            "y",
        ),
    ];
    for (kind, program, with, without) in cases {
        let command = format!("{ARM}\n{program}");
        for (faults, expected) in [(vec![DiskFault::always(kind)], with), (vec![], without)] {
            let bench = Bench {
                faults,
                ..Bench::new(&command)
            };
            let run = bench.run();
            assert_eq!(
                run.lines(),
                ["arm heard", expected],
                "{kind:?}: {}",
                run.console
            );
        }
    }
}

#[test]
fn slow_disk_takes_programs_longer() {
    let slow = DiskFaultKind::Slow {
        min: 3 * SECOND,
        max: 3 * SECOND,
    };
    let command = format!(
        "{ARM}\nread before rest < /proc/uptime\n\
         dd if=/dev/vda of=/dev/null bs=4k count=1 iflag=direct 2>/dev/null\n\
         read after rest < /proc/uptime; echo $((${{after%.*}} - ${{before%.*}}))"
    );
    for (faults, expected) in [(vec![DiskFault::always(slow)], "3"), (vec![], "0")] {
        let bench = Bench {
            faults,
            ..Bench::new(&command)
        };
        assert_eq!(bench.run().lines(), ["arm heard", expected]);
    }
}

#[test]
fn flush_that_is_lost_loses_what_a_program_had_synced() {
    let command =
        format!("{ARM}\nprintf synced | dd of=/dev/vda bs=512 conv=sync,fsync 2>/dev/null");
    for (faults, expected) in [
        (vec![DiskFault::always(DiskFaultKind::LostFlush)], 0),
        (vec![], b's'),
    ] {
        let bench = Bench {
            faults,
            ..Bench::new(&command)
        };
        let mut disk = bench.run().disks.remove(0);
        disk.power_loss(Chance::NEVER, &mut Tape::new(1).stream("n/power"));
        let mut first = [0];
        disk.peek(0, &mut first);
        assert_eq!(first, [expected]);
    }
}

#[test]
fn images_are_shared_read_only_disks_refuse_writes_and_writethrough_needs_no_flush() {
    let image: Vec<u8> = b"image ".iter().copied().cycle().take(1 << 20).collect();
    let disk = |serial: &str, read_only, writeback| {
        Disk::new(DiskConfig {
            serial: serial.to_owned(),
            size: 2 << 20,
            base: Base::from_bytes(image.clone()),
            read_only,
            writeback,
        })
        .unwrap()
    };
    let bench = Bench {
        disks: vec![disk("ro", true, false), disk("wt", false, false)],
        ..Bench::new(
            "cat /sys/block/vda/ro /sys/block/vdb/ro /sys/block/vdb/queue/write_cache\n\
             head -c 5 /dev/vda; echo\n\
             printf through | dd of=/dev/vdb bs=512 conv=sync oflag=direct 2>/dev/null\n\
             head -c 7 /dev/vdb; echo; head -c 1048576 /dev/vdb | tail -c 4; echo\n\
             dd if=/dev/zero of=/dev/vda bs=512 count=1 2>/dev/null || echo refused",
        )
    };
    let mut run = bench.run();
    let expected = [
        "1",
        "0",
        "write through",
        "image",
        "through",
        "imag",
        "refused",
    ];
    assert_eq!(run.lines(), expected, "{}", run.console);
    let mut disk = run.disks.remove(1);
    disk.power_loss(Chance::NEVER, &mut Tape::new(1).stream("n/power"));
    let mut bytes = [0; 7];
    disk.peek(0, &mut bytes);
    assert_eq!(&bytes, b"through");
}

#[test]
fn filesystem_outlives_the_machine() {
    let make = "mke2fs -F /dev/vda >/dev/null 2>&1 && mount -t ext4 /dev/vda /tmp && \
                seq 1 5000 > /tmp/f && umount /tmp && echo made";
    let mut first = Bench::new(make).run();
    assert_eq!(first.lines(), ["made"]);
    let bench = Bench {
        disks: vec![first.disks.remove(0)],
        ..Bench::new("mount -t ext4 /dev/vda /tmp && tail -n 1 /tmp/f && wc -l < /tmp/f")
    };
    assert_eq!(bench.run().lines(), ["5000", "5000"]);
}
