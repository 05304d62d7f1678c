//! Descriptor tables, handlers and page tables of the test machine.

use super::layout::*;
use super::{Machine, STOP_PORT};

/// Whether an exception pushes an error code.
pub fn has_error_code(vector: u8) -> bool {
    matches!(vector, 8 | 10..=14 | 17)
}

impl Machine {
    /// Writes everything that the machine starts with.
    pub(super) fn install(&mut self) {
        self.install_descriptors();
        self.install_tss();
        for vector in 0..=255 {
            self.gate(vector, HANDLERS + u64::from(vector) * HANDLER_STEP, 0, 0);
            self.install_handler(vector);
        }
        for address in (0..2 << 20).step_by(4096) {
            let user = if (USER_CODE..USER_STACK).contains(&address) {
                page::U
            } else {
                0
            };
            self.map(address, address | page::P | page::W | user);
        }
    }

    fn install_descriptors(&mut self) {
        use descriptor::*;
        let descriptors = [0, CODE64, DATA, CODE32, USER_CODE32, USER_DATA, USER_CODE64];
        for (index, value) in descriptors.into_iter().enumerate() {
            self.poke64(GDT + 8 * index as u64, value);
        }
        self.poke64(
            GDT + u64::from(selector::TSS),
            0x0000_8b00_0000_0000 | u64::from(TSS_LIMIT) | TSS << 16,
        );
    }

    fn install_tss(&mut self) {
        self.poke64(TSS + 4, STACK0);
        for n in 1..8 {
            self.poke64(TSS + 0x1c + 8 * n, IST + 0x1000 * n);
        }
        // There is no I/O permission bitmap.
        self.poke(TSS + 0x66, &0x68u16.to_le_bytes());
    }

    /// A handler reports, drops the error code and returns.
    fn install_handler(&mut self, vector: u8) {
        let mut code = vec![0xe6, STOP_PORT as u8];
        if has_error_code(vector) {
            code.extend([0x48, 0x83, 0xc4, 0x08]);
        }
        code.extend([0x48, 0xcf]);
        self.poke(HANDLERS + u64::from(vector) * HANDLER_STEP, &code);
    }

    /// Writes an interrupt gate with a privilege level and an IST index.
    pub fn gate(&mut self, vector: u8, target: u64, dpl: u64, ist: u64) {
        let low = target & 0xffff
            | u64::from(selector::CODE64) << 16
            | ist << 32
            | (0x8e | dpl << 5) << 40
            | (target >> 16 & 0xffff) << 48;
        self.poke64(IDT + u64::from(vector) * 16, low);
        self.poke64(IDT + u64::from(vector) * 16 + 8, target >> 32);
    }

    /// Lets the handler of `vector` be reached with INT n from privilege level `dpl`, on the stack
    /// that `ist` says.
    pub fn open_gate(&mut self, vector: u8, dpl: u64, ist: u64) {
        self.gate(
            vector,
            HANDLERS + u64::from(vector) * HANDLER_STEP,
            dpl,
            ist,
        );
    }

    /// Changes the first eight bytes of a gate.
    pub fn change_gate(&mut self, vector: u8, change: impl FnOnce(u64) -> u64) {
        let address = IDT + u64::from(vector) * 16;
        let value = change(self.peek64(address));
        self.poke64(address, value);
    }

    /// Writes the descriptor of a selector.
    pub fn describe(&mut self, selector: u16, descriptor: u64) {
        self.poke64(GDT + u64::from(selector & !7), descriptor);
    }

    /// A fresh page for a page table.
    pub fn new_table(&mut self) -> u64 {
        let table = self.next_table;
        assert!(table < TABLES_END, "there is room for more page tables");
        self.next_table += 4096;
        table
    }

    /// Maps the 4 KiB page at `linear` by `entry`.
    pub fn map(&mut self, linear: u64, entry: u64) {
        let slot = self.slot(linear, 1);
        self.poke64(slot, entry);
    }

    /// The physical address of the entry for `linear` in the table of a level: 1 for pages of
    /// 4 KiB, 2 for 2 MiB, 3 for 1 GiB, 4 for the root. Tables on the way there are made, with all
    /// rights.
    pub fn slot(&mut self, linear: u64, level: u32) -> u64 {
        let mut table = PML4;
        for current in (level + 1..=4).rev() {
            let slot = table + index(linear, current) * 8;
            if self.peek64(slot) & page::P == 0 {
                let new = self.new_table();
                self.poke64(slot, new | page::P | page::W | page::U);
            }
            table = self.peek64(slot) & 0x000f_ffff_ffff_f000;
        }
        table + index(linear, level) * 8
    }

    /// Changes the entry of the 4 KiB page at `linear`; the CPU is not told.
    pub fn remap(&mut self, linear: u64, change: impl FnOnce(u64) -> u64) {
        let slot = self.slot(linear, 1);
        let entry = change(self.peek64(slot));
        self.poke64(slot, entry);
    }

    /// The entry of the 4 KiB page at `linear`.
    pub fn entry(&mut self, linear: u64) -> u64 {
        let slot = self.slot(linear, 1);
        self.peek64(slot)
    }
}

fn index(linear: u64, level: u32) -> u64 {
    linear >> (12 + 9 * (level - 1)) & 0x1ff
}
