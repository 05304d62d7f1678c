//! Machines with virtio devices and the SDK port, on the exact engine.

use chaosrun_protocol::port::{Header, Op as Call};
use chaosrun_x86::{Access, Bus, Memory};

use super::*;
use crate::devices::virtio::tests::driver::{Buffer, Guest, bytes_at, set_up};
use crate::disk::{Disk, DiskFault, DiskFaultKind};
use crate::machine::boot::elf::tests::executable;
use crate::ram::map;

const CODE_AT: u64 = 0x10_0000;
const RINGS: u64 = 0x30_0000;
const BLOCK: u64 = 0x20_0000;
/// `jmp .`
const FOREVER: [u8; 2] = [0xeb, 0xfe];

/// A machine with all devices, which runs `code`.
fn boot(code: &[u8]) -> Machine {
    let kernel = executable(CODE_AT, code, 0x1000);
    let config = MachineConfig {
        memory: 8 << 20,
        disks: vec![Disk::blank("data", 1 << 20).unwrap()],
        nics: vec![[2, 0, 0, 0, 0, 1]],
        control: true,
        entropy: true,
        tape: Tape::new(11),
        ..MachineConfig::new(&kernel)
    };
    Machine::new(&config).unwrap()
}

/// The test as the guest's driver, at the present moment.
impl Guest for Machine {
    fn read(&mut self, slot: usize, offset: u64) -> u32 {
        let mut at = self.access();
        self.platform.read_mmio(&mut at, address(slot, offset), 4) as u32
    }

    fn write(&mut self, slot: usize, offset: u64, value: u32) {
        let mut at = self.access();
        self.platform
            .write_mmio(&mut at, address(slot, offset), 4, value.into());
        assert!(at.stop || !self.platform.has_work());
        self.serve_devices().unwrap();
    }

    fn memory(&mut self) -> &mut Memory {
        &mut self.ram
    }
}

impl Machine {
    fn access(&self) -> Access {
        Access {
            vcpu: 0,
            retired: self.engine.retired(0),
            stop: false,
        }
    }
}

fn address(slot: usize, offset: u64) -> u64 {
    map::VIRTIO_MMIO + slot as u64 * map::VIRTIO_MMIO_STRIDE + offset
}

/// Calls the SDK port with a block at `BLOCK` and stores the status that the next instruction sees.
fn caller() -> Vec<u8> {
    let mut code = vec![0x48, 0xbf];
    code.extend(BLOCK.to_le_bytes());
    // xor eax, eax; mov edx, 0x150; out dx, eax; mov eax, [rdi + 8]; mov [0x280000], eax
    code.extend([0x31, 0xc0, 0xba, 0x50, 1, 0, 0, 0xef, 0x8b, 0x47, 8]);
    code.extend([0x89, 0x04, 0x25, 0, 0, 0x28, 0]);
    code.extend(FOREVER);
    code
}

#[test]
fn sdk_call_is_served_before_the_next_instruction() {
    for step in [1, 2, MICRO] {
        let mut machine = boot(&caller());
        let mut block = Header::new(Call::Send, 5).to_bytes().to_vec();
        block.extend(b"hello");
        assert!(machine.ram.write(BLOCK, &block));
        for until in (step..=MICRO).step_by(step as usize) {
            run(&mut machine, until);
        }
        assert_eq!(bytes_at(&mut machine, 0x28_0000, 4), [1, 0, 0, 0]);
        let expected = Output {
            time: VirtTime(4),
            kind: OutputKind::Event(MachineEvent::Sdk(b"hello".to_vec())),
        };
        assert_eq!(machine.take_outputs(), [expected]);
    }
}

#[test]
fn program_draws_from_the_tape_through_the_sdk_port() {
    let mut machine = boot(&caller());
    let mut block = Header::new(Call::Random, 1).to_bytes().to_vec();
    block.extend(b"x");
    assert!(machine.ram.write(BLOCK, &block));
    run(&mut machine, MICRO);
    let expected = Tape::new(11).stream("node/sdk/x").any();
    assert_eq!(
        bytes_at(&mut machine, BLOCK + 16, 8),
        expected.to_le_bytes()
    );
}

#[test]
fn bad_sdk_call_is_told() {
    let mut machine = boot(&caller());
    run(&mut machine, MICRO);
    let expected = OutputKind::Event(MachineEvent::BadSdkCall("wrong magic number".to_owned()));
    assert_eq!(machine.take_outputs()[0].kind, expected);
}

#[test]
fn device_that_writes_over_code_changes_what_is_executed() {
    let mut machine = boot(&FOREVER);
    run(&mut machine, MICRO);
    let mut receive = set_up(&mut machine, 0, 0, 2, RINGS).remove(0);
    receive.add(&mut machine, &[Buffer::InAt(CODE_AT, 1)]);
    // hlt, with interrupts off
    machine.input(Input::Control(vec![0xf4]));
    let stop = run(&mut machine, MILLI);
    assert!(matches!(stop, Stop::HaltedForever { .. }), "{stop}");
    assert_eq!(machine.retired(), MICRO + 1);
}

#[test]
fn frames_go_out_and_come_in_at_the_present_moment() {
    let mut machine = boot(&FOREVER);
    let mut rings = set_up(&mut machine, 3, 0, 2, RINGS);
    let (_, places) = rings[0].add(&mut machine, &[Buffer::In(2000)]);
    run(&mut machine, 777);
    rings[1].add(&mut machine, &[Buffer::Out(vec![9; 112])]);
    rings[1].notify(&mut machine);
    let expected = Output {
        time: VirtTime(777),
        kind: OutputKind::Frame {
            nic: 0,
            bytes: vec![9; 100],
        },
    };
    assert_eq!(machine.take_outputs(), [expected]);
    let bytes = vec![8; 60];
    machine.input(Input::Frame { nic: 0, bytes });
    assert_eq!(rings[0].used(&mut machine).unwrap().1, 72);
    assert_eq!(bytes_at(&mut machine, places[0] + 12, 60), [8; 60]);
}

/// Adds one request to disk 0.
fn request(kind: u8, sector: u64, data: Buffer) -> Vec<Buffer> {
    let mut header = vec![kind, 0, 0, 0, 0, 0, 0, 0];
    header.extend(sector.to_le_bytes());
    vec![Buffer::Out(header), data, Buffer::In(1)]
}

#[test]
fn disks_outlive_their_machine() {
    let mut machine = boot(&FOREVER);
    let mut ring = set_up(&mut machine, 2, 1 << 9, 1, RINGS).remove(0);
    ring.add(&mut machine, &request(1, 0, Buffer::Out(vec![5; 512])));
    ring.notify(&mut machine);
    run(&mut machine, 200 * MICRO);
    assert_eq!(machine.disk_mut(0).unwrap().counters().writes, 1);
    assert!(machine.disk_mut(1).is_none());
    // A second write does not complete any more.
    ring.add(&mut machine, &request(1, 8, Buffer::Out(vec![6; 512])));
    ring.notify(&mut machine);
    let disks = machine.into_disks();
    let mut bytes = [0; 4097];
    disks[0].peek(0, &mut bytes);
    assert_eq!((bytes[0], bytes[4096]), (5, 0));
}

/// Runs a machine with requests of all devices under way, whose guest sums up what the disk gives,
/// in pieces of `step` nanoseconds.
fn busy(step: u64) -> (StateHash, Vec<Output>) {
    // loop: mov eax, [0x380000]; add [0x280000], eax; inc ecx; jmp loop
    let code = [
        0x8b, 0x04, 0x25, 0, 0, 0x38, 0, 0x01, 0x04, 0x25, 0, 0, 0x28, 0, 0xff, 0xc1, 0xeb, 0xee,
    ];
    let mut machine = boot(&code);
    let slow = DiskFaultKind::Slow {
        min: 0,
        max: 50_000,
    };
    machine.disk_mut(0).unwrap().arm(1, DiskFault::always(slow));
    let mut ring = set_up(&mut machine, 2, 1 << 9, 1, RINGS).remove(0);
    for sector in 0..2 {
        let data = Buffer::Out(vec![sector as u8 + 1; 512]);
        ring.add(&mut machine, &request(1, sector, data));
        let data = Buffer::InAt(0x38_0000, 512);
        ring.add(&mut machine, &request(0, sector, data));
    }
    ring.notify(&mut machine);
    let mut now = 0;
    while now < 400 * MICRO {
        now += step;
        run(&mut machine, now.min(400 * MICRO));
    }
    let outputs = machine.take_outputs();
    assert_eq!(machine.disk_mut(0).unwrap().counters().reads, 2);
    (machine.state_hash().unwrap(), outputs)
}

#[test]
fn outcome_with_requests_under_way_does_not_depend_on_how_time_is_cut() {
    let (whole, outputs) = busy(u64::MAX / 2);
    for step in [333, 17_001, 100_512] {
        let (pieces, other) = busy(step);
        assert_eq!(whole.differences(&pieces), Vec::<&str>::new(), "{step}");
        assert_eq!(outputs, other);
    }
}

#[test]
fn state_hash_covers_disks_queues_and_streams() {
    let hash = |change: &dyn Fn(&mut Machine)| {
        let mut machine = boot(&FOREVER);
        run(&mut machine, MICRO);
        change(&mut machine);
        machine.state_hash().unwrap()
    };
    let plain = hash(&|_| {});
    let differences = |change: &dyn Fn(&mut Machine)| {
        let other = hash(change);
        let names = plain.differences(&other);
        names.into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    let write = |machine: &mut Machine| {
        let disk = machine.disk_mut(0).unwrap();
        disk.write(0, &[1; 512], false).unwrap();
    };
    assert_eq!(differences(&write), ["disk0"]);
    let control = |machine: &mut Machine| machine.input(Input::Control(b"x".to_vec()));
    assert_eq!(differences(&control), ["virtio"]);
    let draw = |machine: &mut Machine| {
        machine.platform.entropy.any();
    };
    assert_eq!(differences(&draw), ["entropy"]);
    assert_eq!(differences(&|machine| machine.delay_timers(1)), ["clock"]);
}

/// The year and the century that the CMOS clock shows.
fn year(machine: &mut Machine) -> [u8; 2] {
    [crate::devices::rtc::CENTURY, 9].map(|register| {
        let mut at = machine.access();
        machine
            .platform
            .write_port(&mut at, 0x70, 1, register.into());
        machine.platform.read_port(&mut at, 0x71, 1) as u8
    })
}

/// A machine that has to be told who it is.
fn anonymous(name: &str, seed: u64, date_ns: i64) -> Machine {
    let kernel = executable(CODE_AT, &FOREVER, 0x1000);
    let config = MachineConfig {
        name: name.to_owned(),
        memory: 8 << 20,
        disks: vec![Disk::blank(name, 1 << 20).unwrap()],
        entropy: true,
        identity: Some(name.as_bytes().into()),
        tape: Tape::new(seed),
        date_ns,
        ..MachineConfig::new(&kernel)
    };
    Machine::new(&config).unwrap()
}

#[test]
fn nothing_of_a_node_reaches_its_guest_before_it_asks_and_all_of_it_afterwards() {
    const IN_2031: i64 = 1_924_992_000_000_000_000;
    let seen = |machine: &mut Machine| {
        let mut at = machine.access();
        let random = [0; 3].map(|_: u64| machine.platform.random(&mut at));
        let slot = [0, 8, 0x100].map(|offset| machine.read(1, offset));
        (random, year(machine), slot)
    };
    let mut one = anonymous("n1", 1, IN_2031);
    let mut other = anonymous("n2", 2, 0);
    let before = seen(&mut one);
    assert_eq!(before, seen(&mut other));
    assert_eq!(before.1, [0x20, 0x24]);
    // The placeholder has a magic number and no device.
    assert_eq!(before.2, [0x7472_6976, 0, 0]);
    let ram = |machine: &mut Machine| machine.ram.digest(|_, _| {});
    assert_eq!(
        ram(&mut one),
        ram(&mut other),
        "the kernel's seed is the image's"
    );

    one.introduce();
    other.introduce();
    let (one, other) = (seen(&mut one), seen(&mut other));
    assert_ne!(one.0, other.0);
    assert_ne!(one.0, before.0);
    assert_eq!((one.1, other.1), ([0x20, 0x31], [0x19, 0x70]));
    // A disk of 2048 sectors.
    assert_eq!(one.2, [0x7472_6976, 2, 2048]);
}
