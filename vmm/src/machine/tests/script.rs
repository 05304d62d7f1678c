//! A scripted engine: vCPUs that execute lists of simple operations, one per instruction.

use std::sync::{Arc, Mutex};

use chaosrun_x86::{Access, Activity, Bus, CpuState, Exit, Memory};

use crate::engine::{Engine, EngineError};

/// One instruction of a scripted vCPU.
#[derive(Debug, Clone, Copy)]
pub enum Op {
    /// Does nothing.
    Work,
    /// Continues at an operation.
    Jump(usize),
    /// Writes a port.
    Out(u16, u32),
    /// Writes four bytes of memory that is not RAM.
    Mmio(u64, u32),
    /// Reads four bytes of memory that is not RAM and remembers them.
    MmioRead(u64),
    /// Writes eight bytes of RAM.
    Store(u64, u64),
    /// Adds one to eight bytes of RAM.
    Add(u64),
    /// Reads the time stamp counter and remembers it.
    Tsc,
    /// Sets or clears the interrupt flag.
    Interrupts(bool),
    /// Waits for an interrupt.
    Halt,
    /// Ends in a triple fault.
    Fault,
}

/// What a scripted vCPU met: (vCPU, instructions it had retired, what, value).
pub type Diary = Arc<Mutex<Vec<(u32, u64, &'static str, u64)>>>;

struct Vcpu {
    program: Vec<Op>,
    next: usize,
    retired: u64,
    interrupts: bool,
    activity: Activity,
    window: bool,
    /// An interrupt was taken, and its handler's only instruction, which ends it, comes next.
    handling: bool,
}

pub struct Scripted {
    vcpus: Vec<Vcpu>,
    diary: Diary,
}

const LAPIC_EOI: u64 = 0xfee0_00b0;

impl Scripted {
    /// vCPU 0 runs the first program at once, the others theirs from the start-up IPI on.
    pub fn new(programs: &[&[Op]]) -> (Self, Diary) {
        let diary = Diary::default();
        let vcpus = programs.iter().enumerate().map(|(index, program)| Vcpu {
            program: program.to_vec(),
            next: 0,
            retired: 0,
            interrupts: false,
            activity: if index == 0 {
                Activity::Running
            } else {
                Activity::WaitForSipi
            },
            window: false,
            handling: false,
        });
        (
            Self {
                vcpus: vcpus.collect(),
                diary: diary.clone(),
            },
            diary,
        )
    }

    fn write(&self, vcpu: u32, what: &'static str, value: u64) {
        let retired = self.vcpus[vcpu as usize].retired;
        self.diary
            .lock()
            .unwrap()
            .push((vcpu, retired, what, value));
    }

    fn step(&mut self, vcpu: u32, memory: &mut Memory, bus: &mut dyn Bus) -> Option<Exit> {
        let cpu = &mut self.vcpus[vcpu as usize];
        let mut at = Access {
            vcpu,
            retired: cpu.retired,
            stop: false,
        };
        let mut noted = None;
        let mut exit = None;
        let op = cpu.program.get(cpu.next).copied().unwrap_or(Op::Fault);
        if cpu.handling {
            (cpu.handling, cpu.interrupts) = (false, true);
            bus.write_mmio(&mut at, LAPIC_EOI, 4, 0);
        } else {
            cpu.next += 1;
            match op {
                Op::Work => {}
                Op::Jump(next) => cpu.next = next,
                Op::Out(port, value) => bus.write_port(&mut at, port, 1, value),
                Op::Mmio(gpa, value) => bus.write_mmio(&mut at, gpa, 4, value.into()),
                Op::MmioRead(gpa) => noted = Some(("mmio", bus.read_mmio(&mut at, gpa, 4))),
                Op::Store(gpa, value) => assert!(memory.write(gpa, &value.to_le_bytes())),
                Op::Add(gpa) => {
                    let mut word = [0; 8];
                    assert!(memory.read(gpa, &mut word));
                    let sum = u64::from_le_bytes(word) + 1;
                    assert!(memory.write(gpa, &sum.to_le_bytes()));
                }
                Op::Tsc => noted = Some(("tsc", bus.read_tsc(&mut at))),
                Op::Interrupts(on) => cpu.interrupts = on,
                Op::Halt => {
                    cpu.activity = Activity::Halted;
                    exit = Some(Exit::Halt);
                }
                Op::Fault => return Some(Exit::TripleFault),
            }
        }
        if let Some((what, value)) = noted {
            self.write(vcpu, what, value);
        }
        self.vcpus[vcpu as usize].retired += 1;
        exit.or_else(|| at.stop.then_some(Exit::Stop))
    }
}

impl Engine for Scripted {
    fn name(&self) -> &'static str {
        "scripted"
    }

    fn vcpus(&self) -> u32 {
        self.vcpus.len() as u32
    }

    fn run(
        &mut self,
        vcpu: u32,
        memory: &mut Memory,
        bus: &mut dyn Bus,
        budget: u64,
    ) -> Result<Exit, EngineError> {
        assert!(budget > 0 && self.activity(vcpu) == Activity::Running);
        for _ in 0..budget {
            let cpu = &self.vcpus[vcpu as usize];
            if cpu.window && cpu.interrupts {
                return Ok(Exit::InterruptWindow);
            }
            if let Some(exit) = self.step(vcpu, memory, bus) {
                return Ok(exit);
            }
        }
        Ok(Exit::Budget)
    }

    fn interruptible(&self, vcpu: u32) -> bool {
        self.vcpus[vcpu as usize].interrupts
    }

    fn nmi_acceptable(&self, vcpu: u32) -> bool {
        !self.vcpus[vcpu as usize].handling
    }

    fn request_interrupt_window(&mut self, vcpu: u32, wanted: bool) {
        self.vcpus[vcpu as usize].window = wanted;
    }

    fn inject_interrupt(
        &mut self,
        vcpu: u32,
        _memory: &mut Memory,
        _bus: &mut dyn Bus,
        vector: u8,
    ) -> Result<Option<Exit>, EngineError> {
        assert!(self.interruptible(vcpu));
        self.write(vcpu, "interrupt", vector.into());
        let cpu = &mut self.vcpus[vcpu as usize];
        (cpu.handling, cpu.interrupts, cpu.activity) = (true, false, Activity::Running);
        Ok(None)
    }

    fn inject_nmi(
        &mut self,
        vcpu: u32,
        _memory: &mut Memory,
        _bus: &mut dyn Bus,
    ) -> Result<Option<Exit>, EngineError> {
        self.write(vcpu, "nmi", 2);
        self.vcpus[vcpu as usize].activity = Activity::Running;
        Ok(None)
    }

    fn init(&mut self, vcpu: u32) -> Result<(), EngineError> {
        self.write(vcpu, "init", 0);
        let cpu = &mut self.vcpus[vcpu as usize];
        (cpu.next, cpu.interrupts, cpu.handling) = (0, false, false);
        cpu.activity = Activity::WaitForSipi;
        Ok(())
    }

    fn sipi(&mut self, vcpu: u32, vector: u8) -> Result<(), EngineError> {
        if self.activity(vcpu) == Activity::WaitForSipi {
            self.write(vcpu, "sipi", vector.into());
            self.vcpus[vcpu as usize].activity = Activity::Running;
        }
        Ok(())
    }

    fn retired(&self, vcpu: u32) -> u64 {
        self.vcpus[vcpu as usize].retired
    }

    fn activity(&self, vcpu: u32) -> Activity {
        self.vcpus[vcpu as usize].activity
    }

    fn state(&self, vcpu: u32) -> Result<CpuState, EngineError> {
        // There is no default state on purpose; a zeroed one is made of its wire form.
        let mut state: CpuState = postcard::from_bytes(&[0; 4096]).unwrap();
        let cpu = &self.vcpus[vcpu as usize];
        state.rip = cpu.next as u64;
        state.rflags = u64::from(cpu.interrupts) << 9;
        state.activity = cpu.activity;
        state.retired = cpu.retired;
        Ok(state)
    }

    fn set_state(&mut self, _vcpu: u32, _state: &CpuState) -> Result<(), EngineError> {
        unimplemented!("scripted vCPUs start where their program starts")
    }

    fn hash_into(&self, vcpu: u32, sink: &mut dyn FnMut(&[u8])) -> Result<(), EngineError> {
        let cpu = &self.vcpus[vcpu as usize];
        sink(&(cpu.next as u64).to_le_bytes());
        sink(&cpu.retired.to_le_bytes());
        sink(&[
            cpu.interrupts.into(),
            cpu.activity as u8,
            cpu.handling.into(),
        ]);
        Ok(())
    }

    fn collect_dirty(&mut self, _memory: &mut Memory) -> Result<(), EngineError> {
        Ok(())
    }
}
