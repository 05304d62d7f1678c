//! The processor state and tables with which a kernel is entered at its 64-bit entry point
//! (Linux, Documentation/arch/x86/boot.rst, "64-bit boot protocol").

use chaosrun_x86::{CpuState, Segment, TableRegister};

use crate::ram::map;

/// The selectors that the protocol names `__BOOT_CS` and `__BOOT_DS`, and one for the task state.
const CODE: u16 = 0x10;
const DATA: u16 = 0x18;
const TASK: u16 = 0x20;

const CR0_PROTECTED: u64 = 1 << 0;
const CR0_EXTENSION_TYPE: u64 = 1 << 4;
const CR0_NUMERIC_ERROR: u64 = 1 << 5;
const CR0_PAGING: u64 = 1 << 31;
const CR4_PAE: u64 = 1 << 5;
const EFER_LONG_MODE: u64 = 1 << 8 | 1 << 10;
/// RFLAGS with nothing but the bit that is always set.
const RFLAGS_RESERVED: u64 = 2;

const RSI: usize = 6;
const RSP: usize = 4;

const PAGE: u64 = 0x1000;
const LARGE_PAGE: u64 = 2 << 20;
const ENTRIES: u64 = 512;
const PRESENT_WRITABLE: u64 = 3;
const PAGE_IS_LARGE: u64 = 1 << 7;
/// Page directories, each of which maps a gibibyte.
const DIRECTORIES: u64 = 4;

/// All the firmware that there is, for [`map::FIRMWARE_ENTRY`]: it pulses the reset line of the
/// keyboard controller. A Linux that can call EFI takes no other way to restart a machine with
/// hardware-reduced ACPI, once it found that there is no EFI to call.
///
/// `mov al, 0xfe; out 0x64, al; hlt; jmp` to the `hlt`, in 16-bit code.
pub(super) const FIRMWARE: [u8; 7] = [0xb0, 0xfe, 0xe6, 0x64, 0xf4, 0xeb, 0xfd];

/// A flat 64-bit code segment, a flat data segment and a minimal busy task state segment.
fn segments() -> [Segment; 3] {
    [
        Segment {
            selector: CODE,
            access: 0xa09b,
            limit: u32::MAX,
            base: 0,
        },
        Segment {
            selector: DATA,
            access: 0xc093,
            limit: u32::MAX,
            base: 0,
        },
        Segment {
            selector: TASK,
            access: 0x008b,
            limit: 0x67,
            base: 0,
        },
    ]
}

/// The descriptor of `segment` in memory (Intel SDM vol. 3, 3.4.5).
fn descriptor(segment: &Segment) -> u64 {
    let base = segment.base & 0xffff_ffff;
    let granular = segment.access & 0x8000 != 0;
    let limit = u64::from(if granular {
        segment.limit >> 12
    } else {
        segment.limit
    });
    limit & 0xffff
        | (base & 0xff_ffff) << 16
        | u64::from(segment.access & 0xff) << 40
        | (limit >> 16 & 0xf) << 48
        | u64::from(segment.access >> 12) << 52
        | (base >> 24) << 56
}

/// The bytes of the global descriptor table, which belongs at [`map::BOOT_GDT`].
pub(super) fn gdt() -> Vec<u8> {
    let [code, data, task] = segments();
    // The upper half of the task state's descriptor, bits 32 and up of its base, is zero.
    let entries = [
        0,
        0,
        descriptor(&code),
        descriptor(&data),
        descriptor(&task),
        0,
    ];
    entries
        .iter()
        .flat_map(|entry: &u64| entry.to_le_bytes())
        .collect()
}

/// The bytes of page tables that map the first 4 GiB one to one; they belong at
/// [`map::BOOT_PAGE_TABLES`].
pub(super) fn page_tables() -> Vec<u8> {
    let table = |index: u64| map::BOOT_PAGE_TABLES + index * PAGE;
    let mut entries = vec![0u64; (map::BOOT_PAGE_TABLES_SIZE / 8) as usize];
    entries[0] = table(1) | PRESENT_WRITABLE;
    for directory in 0..DIRECTORIES {
        entries[(ENTRIES + directory) as usize] = table(2 + directory) | PRESENT_WRITABLE;
        for entry in 0..ENTRIES {
            let address = (directory * ENTRIES + entry) * LARGE_PAGE;
            entries[((2 + directory) * ENTRIES + entry) as usize] =
                address | PRESENT_WRITABLE | PAGE_IS_LARGE;
        }
    }
    entries
        .iter()
        .flat_map(|entry| entry.to_le_bytes())
        .collect()
}

/// Turns `reset`, the state after power-on, into that in which `entry` is called.
pub(super) fn enter(reset: CpuState, entry: u64) -> CpuState {
    let mut state = reset;
    let [code, data, task] = segments();
    state.gpr = [0; 16];
    state.gpr[RSI] = map::BOOT_PARAMS;
    // A small stack behind the zero page for programs that don't set up one of their own.
    state.gpr[RSP] = map::BOOT_PARAMS + 2 * PAGE - 16;
    state.rip = entry;
    state.rflags = RFLAGS_RESERVED;
    state.segments = [data, code, data, data, data, data];
    state.tr = task;
    state.ldtr = Segment::default();
    state.gdtr = TableRegister {
        base: map::BOOT_GDT,
        limit: gdt().len() as u16 - 1,
    };
    state.idtr = TableRegister::default();
    state.cr0 = CR0_PROTECTED | CR0_EXTENSION_TYPE | CR0_NUMERIC_ERROR | CR0_PAGING;
    state.cr3 = map::BOOT_PAGE_TABLES;
    state.cr4 = CR4_PAE;
    state.msrs.efer = EFER_LONG_MODE;
    state
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(bytes: &[u8], index: usize) -> u64 {
        u64::from_le_bytes(bytes[index * 8..index * 8 + 8].try_into().unwrap())
    }

    #[test]
    fn descriptors_have_the_layout_of_the_manual() {
        let gdt = gdt();
        assert_eq!(entry(&gdt, 2), 0x00af_9b00_0000_ffff);
        assert_eq!(entry(&gdt, 3), 0x00cf_9300_0000_ffff);
        assert_eq!(entry(&gdt, 4), 0x0000_8b00_0000_0067);
    }

    #[test]
    fn page_tables_map_four_gibibytes_to_themselves() {
        let tables = page_tables();
        assert_eq!(tables.len() as u64, map::BOOT_PAGE_TABLES_SIZE);
        for address in [0u64, 0x20_0000, 0x1234_5678, 0xfee0_0000, 0xffff_ffff] {
            let directory = entry(&tables, (ENTRIES + (address >> 30)) as usize) & !0xfff;
            let at = directory - map::BOOT_PAGE_TABLES + (address >> 21 & 511) * 8;
            let large = entry(&tables, at as usize / 8);
            assert_eq!(large & !0x1f_ffff, address & !0x1f_ffff, "{address:#x}");
            assert_eq!(large & 0x83, 0x83);
        }
        assert_eq!(entry(&tables, 1), 0);
        assert_eq!(entry(&tables, (ENTRIES + 4) as usize), 0);
    }
}
