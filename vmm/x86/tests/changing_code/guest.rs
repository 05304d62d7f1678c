//! A machine with two CPUs that change the code that both execute.

use chaosrun_x86::{Activity, Cpu, CpuModel, CpuState, Exit, Memory};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use crate::actions;
use crate::code::Writer;
use crate::harness::layout::{CODE, PML4, TSS, TSS_LIMIT, USER_STACK, flag, page};
use crate::harness::same::memory;
use crate::harness::{Machine, Script, reg};
use crate::layout::*;

/// A machine and its second CPU.
pub struct Guest {
    pub machine: Machine,
    second: Cpu,
    bus: Script,
    start: CpuState,
}

impl Guest {
    /// The guest of a seed. `turn` decides the order in which it does things.
    pub fn new(seed: u64, turn: u64, after: u8) -> Self {
        let mut g = Writer {
            random: ChaCha8Rng::seed_from_u64(seed),
        };
        let mut machine = Machine::new();
        machine.code.compile_after(after);
        install_functions(&mut g, &mut machine);
        install_tables(&mut g, &mut machine);
        actions::install(&mut g, &mut machine);
        machine.gate(VECTOR, HANDLER, 0, 0);
        let mut tss = vec![0; TSS_LIMIT as usize + 1];
        assert!(machine.memory.read(TSS, &mut tss));
        machine.poke(SECOND_TSS, &tss);
        machine.poke64(SECOND_TSS + 4, SECOND_STACK0);
        for (number, data) in (1..).zip(DATA_OF) {
            machine.poke64(data + USERS, USER_STACK - 0x400 * number);
        }
        let mut guest = Self {
            start: machine.cpu.state(),
            machine,
            second: Cpu::new(1, CpuModel::default()),
            bus: Script::default(),
        };
        for cpu in 0..2 {
            guest.restart(cpu, turn);
        }
        guest
    }

    /// Lets a CPU start the main program anew.
    pub fn restart(&mut self, number: usize, turn: u64) {
        let mut state = self.start.clone();
        let cpu = self.cpu(number).0;
        let old = cpu.state();
        (state.retired, state.string_bytes) = (old.retired, old.string_bytes);
        state.activity = Activity::Running;
        state.rip = CODE;
        state.rflags = 2 | flag::IF;
        state.gpr[reg::RSP] = STACKS[number];
        state.gpr[13] = turn
            .wrapping_add(number as u64)
            .wrapping_mul(0x9e37_79b9_7f4a_7c15);
        state.gpr[14] = DATA_OF[number];
        if number == 1 {
            state.tr.base = SECOND_TSS;
        }
        cpu.set_state(&state);
    }

    fn cpu(&mut self, number: usize) -> (&mut Cpu, &mut Memory, &mut Script) {
        let machine = &mut self.machine;
        match number {
            0 => (&mut machine.cpu, &mut machine.memory, &mut machine.bus),
            _ => (&mut self.second, &mut machine.memory, &mut self.bus),
        }
    }

    /// Runs a CPU.
    pub fn run(&mut self, number: usize, budget: u64) -> Exit {
        let machine = &mut self.machine;
        let (cpu, bus) = match number {
            0 => (&mut machine.cpu, &mut machine.bus),
            _ => (&mut self.second, &mut self.bus),
        };
        cpu.run(&mut machine.memory, &mut machine.code, bus, budget)
    }

    /// Interrupts a CPU if that is possible; whether it was, and did not go wrong.
    pub fn interrupt(&mut self, number: usize) -> Option<bool> {
        let (cpu, memory, bus) = self.cpu(number);
        let possible = cpu.interruptible() && cpu.activity() == Activity::Running;
        possible.then(|| cpu.inject_interrupt(memory, bus, VECTOR).is_none())
    }

    /// What a CPU is.
    pub fn state(&mut self, number: usize) -> CpuState {
        self.cpu(number).0.state()
    }

    /// Everything that a CPU is, TLB included.
    pub fn fingerprint(&mut self, number: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        let cpu = self.cpu(number).0;
        cpu.hash_into(&mut |part| bytes.extend_from_slice(part));
        bytes
    }

    /// Instructions that were retired.
    pub fn retired(&self) -> u64 {
        self.machine.cpu.retired() + self.second.retired()
    }

    /// Fails with what differs from another guest.
    pub fn assert_same(&mut self, other: &mut Self, what: &str) {
        for number in 0..2 {
            assert_eq!(
                self.state(number),
                other.state(number),
                "{what}: CPU {number}"
            );
            assert!(
                self.fingerprint(number) == other.fingerprint(number),
                "{what}: CPU {number}: the translations differ"
            );
        }
        assert_eq!(
            self.machine.bus, other.machine.bus,
            "{what}: what reached the bus"
        );
        assert_eq!(self.bus, other.bus, "{what}: what reached the other bus");
        let (one, two) = (memory(&self.machine), memory(&other.machine));
        let differs = one.iter().zip(&two).position(|(x, y)| x != y);
        assert_eq!(differs, None, "{what}: memory differs at this address");
    }
}

fn install_functions(g: &mut Writer, m: &mut Machine) {
    for (level, slot) in SLOTS.iter().enumerate() {
        let forms: Vec<_> = (0..FORMS).map(|_| g.function(level)).collect();
        for (number, bytes) in (0..).zip(&forms) {
            m.poke(form(level, number), bytes);
        }
        // Some pages are equal: the second half is like the first at first.
        let half: Vec<_> = (0..COUNT / 2).map(|_| g.below(FORMS) as usize).collect();
        for page in 0..COUNT {
            let bytes = &forms[half[(page % (COUNT / 2)) as usize]];
            m.poke(PAGES + page * 0x1000 + slot.0, bytes);
        }
    }
    for number in 0..COUNT {
        let at = PAGES + number * 0x1000;
        m.map(at, at | page::P | page::W | page::U);
    }
    // Behind the last page.
    m.poke(
        PAGES + COUNT * 0x1000,
        &[0x90, 0x90, 0x90, 0x90, 0x90, 0xc3],
    );
    let bytes = g.beside_table();
    assert!(bytes.len() <= 0x200);
    m.poke(BESIDE_TABLE, &bytes);
    m.place(HANDLER, 64, |a| {
        use iced_x86::code_asm::*;
        a.push(rax)?;
        a.inc(qword_ptr(INTERRUPTS))?;
        a.mov(eax, 1)?;
        a.add(rax, r13)?;
        a.pop(rax)?;
        a.iretq()
    });
}

/// Maps the pages in the regions, in other orders in the two address spaces.
fn install_tables(g: &mut Writer, m: &mut Machine) {
    let rights = page::P | page::W | page::U;
    let mut root = vec![0; 4096];
    assert!(m.memory.read(PML4, &mut root));
    m.poke(SECOND_ROOT, &root);
    let first = ALIASES >> 39 & 511;
    for (space, root) in [PML4, SECOND_ROOT].into_iter().enumerate() {
        let upper = UPPER[space];
        m.poke64(root + 8 * first, upper | rights);
        m.poke64(upper, (upper + 0x1000) | rights);
        m.poke64(upper + 0x1000, TABLES[space] | rights);
        for region in 0..REGIONS {
            for number in 0..MAPPED {
                // Mostly in order, so that what goes on in the next page finds what belongs there.
                let target = match g.below(4) {
                    0 => g.below(COUNT),
                    _ => (number + region) % COUNT,
                };
                let slot = TABLES[space] + 8 * (region * (REGION >> 12) + number);
                m.poke64(slot, (PAGES + target * 0x1000) | rights);
            }
        }
    }
}
