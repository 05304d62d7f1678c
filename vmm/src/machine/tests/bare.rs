//! Whole machines on the exact engine, booting a few bytes of machine code.

use super::*;
use crate::machine::boot::elf::tests::executable;

const CODE_AT: u64 = 0x10_0000;
/// `jmp .`
const FOREVER: [u8; 2] = [0xeb, 0xfe];

/// Boots `code` on a machine with 8 MiB of RAM and runs it for at most `until` nanoseconds.
fn boot(code: &[u8], until: u64) -> (Machine, Stop) {
    let kernel = executable(CODE_AT, code, 0x1000);
    let config = MachineConfig {
        memory: 8 << 20,
        ..MachineConfig::new(&kernel)
    };
    let mut machine = Machine::new(&config).unwrap();
    let stop = run(&mut machine, until);
    (machine, stop)
}

/// `mov edx, port; mov al, value; out dx, al`
fn out(port: u16, value: u8) -> Vec<u8> {
    let [low, high] = port.to_le_bytes();
    vec![0xba, low, high, 0, 0, 0xb0, value, 0xee]
}

#[test]
fn program_prints_and_powers_off() {
    let mut code: Vec<u8> = b"hi\n".iter().flat_map(|byte| out(0x3f8, *byte)).collect();
    code.extend(out(0x600, 5 << 2 | 1 << 5));
    code.extend(FOREVER);
    let (mut machine, stop) = boot(&code, MILLI);
    assert_eq!(stop, Stop::PowerOff);
    assert_eq!(machine.take_console(), b"hi\n");
    assert_eq!(machine.retired(), 12);
}

#[test]
fn loop_with_interrupts_off_ends_at_the_instruction_of_the_given_time() {
    let (machine, stop) = boot(&FOREVER, MILLI);
    assert_eq!(stop, Stop::Reached);
    assert_eq!((machine.now(), machine.retired()), (VirtTime(MILLI), MILLI));
}

#[test]
fn halt_with_interrupts_off_is_for_ever() {
    let (_, stop) = boot(&[0xf4], MILLI);
    let Stop::HaltedForever { vcpus } = stop else {
        panic!("{stop}")
    };
    assert_eq!((vcpus[0].rip, vcpus[0].interrupts), (CODE_AT + 1, false));
}

#[test]
fn exception_without_handlers_is_a_triple_fault_at_its_instruction() {
    // nop; ud2
    let (_, stop) = boot(&[0x90, 0x0f, 0x0b], MILLI);
    assert!(
        matches!(stop, Stop::TripleFault { vcpu: 0, rip, .. } if rip == CODE_AT + 1),
        "{stop}"
    );
}

#[test]
fn jump_to_unmapped_memory_tells_the_address() {
    // mov rax, 1 << 40; jmp rax
    let code = [0x48, 0xb8, 0, 0, 0, 0, 0, 1, 0, 0, 0xff, 0xe0];
    let (_, stop) = boot(&code, MILLI);
    assert!(
        matches!(stop, Stop::TripleFault { cr2, .. } if cr2 == 1 << 40),
        "{stop}"
    );
}

#[test]
fn guests_that_write_everywhere_or_run_devices_end_alike_every_time() {
    let programs: [&[u8]; 4] = [
        // xor edi, edi; mov rcx, -1; mov al, 0xcc; rep stosb
        &[
            0x31, 0xff, 0x48, 0xc7, 0xc1, 0xff, 0xff, 0xff, 0xff, 0xb0, 0xcc, 0xf3, 0xaa,
        ],
        // The same from behind this code on, through all RAM and the device hole.
        &[
            0xbf, 0, 0, 0x20, 0, 0x48, 0xc7, 0xc1, 0xff, 0xff, 0xff, 0xff, 0xb0, 0xcc, 0xf3, 0xaa,
        ],
        // mov eax, 0xfee00000; jmp rax
        &[0xb8, 0, 0, 0xe0, 0xfe, 0xff, 0xe0],
        // mov rax, 0xe0000000; mov cr3, rax: page tables where there is no RAM
        &[0xb8, 0, 0, 0, 0xe0, 0x0f, 0x22, 0xd8, 0xeb, 0xfe],
    ];
    for program in programs {
        let end = || {
            let (mut machine, stop) = boot(program, 140 * MICRO);
            (stop.to_string(), machine.state_hash().unwrap())
        };
        let (first, second) = (end(), end());
        assert_eq!(first, second);
    }
}

#[test]
fn time_stamp_counter_follows_virtual_time() {
    // rdtsc; mov [0x200000], eax; 8 nops; rdtsc; mov [0x200008], eax; hlt
    let mut code = vec![0x0f, 0x31, 0x89, 0x04, 0x25, 0, 0, 0x20, 0];
    code.extend([0x90; 8]);
    code.extend([0x0f, 0x31, 0x89, 0x04, 0x25, 8, 0, 0x20, 0, 0xf4]);
    let (machine, _) = boot(&code, MILLI);
    let mut words = [0; 16];
    assert!(machine.ram.read(0x20_0000, &mut words));
    // The second read is 10 instructions of one nanosecond after the first, at 3 GHz.
    assert_eq!((words[0], words[8]), (0, 30));
}

#[test]
fn stopping_anywhere_does_not_change_what_follows() {
    // mov ecx, 5000; loop: add [0x200000], ecx; rdtsc; xor [0x200008], eax; dec ecx; jnz loop; jmp .
    let code = [
        0xb9, 0x88, 0x13, 0, 0, 0x01, 0x0c, 0x25, 0, 0, 0x20, 0, 0x0f, 0x31, 0x31, 0x04, 0x25, 8,
        0, 0x20, 0, 0xff, 0xc9, 0x75, 0xec, 0xeb, 0xfe,
    ];
    let kernel = executable(CODE_AT, &code, 0x1000);
    let run_in = |step: u64| {
        let config = MachineConfig {
            memory: 8 << 20,
            ..MachineConfig::new(&kernel)
        };
        let mut machine = Machine::new(&config).unwrap();
        for until in (step..=30_000).step_by(step as usize) {
            run(&mut machine, until);
        }
        machine.state_hash().unwrap()
    };
    let (whole, steps) = (run_in(30_000), run_in(3));
    assert_eq!(whole.differences(&steps), Vec::<&str>::new());
}

#[test]
fn entering_the_firmware_in_real_mode_restarts_the_machine() {
    // To 32-bit compatibility mode and from there, without paging, to protected 16-bit and real mode.
    let mut code = vec![];
    let mut emit = |bytes: &[u8]| code.extend_from_slice(bytes);
    // lgdt [gdt]; push 8; push compat; retfq
    emit(&[0x0f, 0x01, 0x14, 0x25, 0x80, 0, 0x10, 0]);
    emit(&[0x6a, 0x08, 0x68, 0x20, 0, 0x10, 0, 0x48, 0xcb]);
    emit(&[0x90; 0x20 - 17]);
    // compat: mov eax, cr0; btr eax, 31; mov cr0, eax; jmp far 16:0x7e00 (a copy of the rest)
    emit(&[
        0xbe, 0x50, 0, 0x10, 0, 0xbf, 0, 0x7e, 0, 0, 0xb9, 0x20, 0, 0, 0, 0xf3, 0xa4,
    ]);
    emit(&[0x0f, 0x20, 0xc0, 0x0f, 0xba, 0xf0, 0x1f, 0x0f, 0x22, 0xc0]);
    emit(&[0xea, 0, 0x7e, 0, 0, 0x10, 0]);
    emit(&[0x90; 0x50 - 0x20 - 34]);
    // 16 bits: mov eax, cr0; and al, 0xfe; mov cr0, eax; jmp far F000:FFF0
    emit(&[
        0x0f, 0x20, 0xc0, 0x24, 0xfe, 0x0f, 0x22, 0xc0, 0xea, 0xf0, 0xff, 0, 0xf0,
    ]);
    emit(&[0xf4; 0x80 - 0x50 - 13]);
    // gdt: limit and base, then null, flat 32-bit code, 16-bit code
    emit(&[23, 0, 0x88, 0, 0x10, 0, 0, 0]);
    for descriptor in [0u64, 0x00cf_9b00_0000_ffff, 0x0000_9b00_0000_ffff] {
        emit(&descriptor.to_le_bytes());
    }
    let (_, stop) = boot(&code, MILLI);
    assert_eq!(stop, Stop::Reset, "{stop}");
}
