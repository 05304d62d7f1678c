//! A machine in one of its node's lives, whose beginning it need not execute.

use std::sync::Arc;

use super::body::{Body, Life, SavedBody};
use super::machine::Factory;
use crate::disk::Disk;
use crate::engine::EngineError;
use crate::machine::{
    Begun, Component, ImageId, Input, Machine, MachineConfig, MachineError, Output, SavedMachine,
    Stop,
};
use crate::time::VirtTime;

/// A machine in a life.
pub(super) struct Living {
    factory: Arc<Factory>,
    life: Life,
    /// Whether something from outside has changed what it executes, so that it does not follow from its
    /// image.
    touched: bool,
    stage: Stage,
}

/// How far it is.
enum Stage {
    /// It does what is known.
    Begun(Box<Begun>),
    /// It executes.
    Machine(Box<Machine>),
    /// It could not be made, which whoever runs it next is told.
    Failed(EngineError),
}

/// What is saved of it.
struct SavedLiving {
    /// What the node's machines boot, so that a fork need not find it out again.
    image: Option<ImageId>,
    life: Life,
    touched: bool,
    stage: SavedStage,
}

enum SavedStage {
    Begun(Box<Begun>),
    Machine(Box<SavedMachine>),
}

/// Making a machine failed in the middle of a life.
fn failed(error: MachineError) -> EngineError {
    match error {
        MachineError::Engine(error) => error,
        other => EngineError::NotMade {
            why: other.to_string(),
        },
    }
}

impl Living {
    /// A machine at power-on.
    pub fn new(factory: &Arc<Factory>, life: Life, disks: Vec<Disk>) -> Result<Self, MachineError> {
        let config = factory.newborn(life, disks);
        let known = |image| factory.boots.beginning(&config, image);
        let beginning = config.image.and_then(known);
        let stage = match beginning {
            Some(beginning) => Stage::Begun(Box::new(Begun::new(&config, beginning))),
            None => Stage::Machine(Box::new(Machine::new(&config)?)),
        };
        Ok(Self {
            factory: Arc::clone(factory),
            life,
            touched: false,
            stage,
        })
    }

    /// A machine that goes on where one of its node was saved.
    pub fn resume(
        factory: &Arc<Factory>,
        life: Life,
        saved: &SavedBody,
    ) -> Result<Self, MachineError> {
        let mut living = Self {
            factory: Arc::clone(factory),
            life,
            touched: false,
            stage: Stage::Failed(EngineError::Poisoned),
        };
        living.put_back(saved)?;
        Ok(living)
    }

    fn put_back(&mut self, saved: &SavedBody) -> Result<(), MachineError> {
        let SavedLiving {
            image,
            life,
            touched,
            stage,
        } = saved
            .downcast_ref()
            .expect("what is put back into a machine was saved of one");
        if let Some(image) = image {
            self.factory.image.get_or_init(|| *image);
        }
        self.life = *life;
        self.touched = *touched;
        match (&mut self.stage, stage) {
            (Stage::Machine(machine), SavedStage::Machine(saved)) => machine.restore(saved)?,
            (_, SavedStage::Machine(saved)) => {
                let config = self.factory.machine(*life, Vec::new());
                self.stage = Stage::Machine(Box::new(Machine::resume(&config, saved)?));
            }
            (_, SavedStage::Begun(saved)) => {
                let mut begun = saved.clone();
                begun.decide_by(&self.factory.tape);
                self.stage = Stage::Begun(begun);
            }
        }
        Ok(())
    }

    /// The machine, which has to execute from now on although its beginning is known. None if it could not be
    /// made.
    fn touch(&mut self) -> Option<&mut Machine> {
        self.touched = true;
        self.make(Begun::execute)
    }

    /// The machine, which `make` makes if it has only begun. None if it could not be made.
    fn make(
        &mut self,
        make: impl FnOnce(Begun, &MachineConfig<'_>) -> Result<Machine, MachineError>,
    ) -> Option<&mut Machine> {
        let stage = std::mem::replace(&mut self.stage, Stage::Failed(EngineError::Poisoned));
        self.stage = match stage {
            Stage::Begun(begun) => {
                let config = self.factory.machine(self.life, Vec::new());
                match make(*begun, &config) {
                    Ok(machine) => Stage::Machine(Box::new(machine)),
                    Err(error) => Stage::Failed(failed(error)),
                }
            }
            other => other,
        };
        match &mut self.stage {
            Stage::Machine(machine) => Some(machine),
            Stage::Begun(_) | Stage::Failed(_) => None,
        }
    }
}

impl Body for Living {
    fn now(&self) -> VirtTime {
        match &self.stage {
            Stage::Begun(begun) => begun.now(),
            Stage::Machine(machine) => machine.now(),
            Stage::Failed(_) => VirtTime(0),
        }
    }

    fn run_until(&mut self, until: VirtTime) -> Result<Stop, EngineError> {
        if let Stage::Begun(begun) = &mut self.stage
            && begun.advance(until)
        {
            return Ok(Stop::Reached);
        }
        self.make(Begun::into_machine);
        match &mut self.stage {
            Stage::Machine(machine) => machine.run_until(until),
            Stage::Failed(error) => Err(error.clone()),
            Stage::Begun(_) => unreachable!("the machine was made or has failed"),
        }
    }

    fn next_event(&self) -> Option<VirtTime> {
        match &self.stage {
            Stage::Begun(begun) => begun.next_event(),
            Stage::Machine(machine) => machine.next_event(),
            // Whoever runs it is told.
            Stage::Failed(_) => None,
        }
    }

    fn take_outputs(&mut self) -> Vec<Output> {
        match &mut self.stage {
            Stage::Begun(begun) => begun.take_outputs(),
            Stage::Machine(machine) => machine.take_outputs(),
            Stage::Failed(_) => Vec::new(),
        }
    }

    fn input(&mut self, input: Input) {
        if input.is_interrupt() {
            if let Some(machine) = self.touch() {
                machine.input(input);
            }
            return;
        }
        match &mut self.stage {
            Stage::Begun(begun) => begun.input(input),
            Stage::Machine(machine) => machine.input(input),
            Stage::Failed(_) => {}
        }
    }

    fn skip_to(&mut self, moment: VirtTime) {
        // Standing still for no time changes nothing.
        if moment > self.now()
            && let Some(machine) = self.touch()
        {
            machine.skip_to(moment);
        }
    }

    fn set_rate(&mut self, instructions_per_us: u64) {
        if let Some(machine) = self.touch() {
            machine.set_rate(instructions_per_us);
        }
    }

    fn delay_timers(&mut self, by_ns: u64) {
        if let Some(machine) = self.touch() {
            machine.delay_timers(by_ns);
        }
    }

    fn move_wall(&mut self, moved_ns: i64) {
        match &mut self.stage {
            Stage::Begun(begun) => begun.move_wall(moved_ns),
            Stage::Machine(machine) => machine.move_wall(moved_ns),
            Stage::Failed(_) => {}
        }
    }

    fn disk_mut(&mut self, index: usize) -> Option<&mut Disk> {
        match &mut self.stage {
            Stage::Begun(begun) => begun.disk_mut(index),
            Stage::Machine(machine) => machine.disk_mut(index),
            Stage::Failed(_) => None,
        }
    }

    fn into_disks(self: Box<Self>) -> Vec<Disk> {
        match self.stage {
            Stage::Begun(begun) => begun.into_disks(),
            Stage::Machine(machine) => machine.into_disks(),
            Stage::Failed(_) => Vec::new(),
        }
    }

    fn save(&mut self) -> Result<SavedBody, EngineError> {
        let stage = match &mut self.stage {
            Stage::Begun(begun) => SavedStage::Begun(begun.clone()),
            Stage::Machine(machine) => SavedStage::Machine(Box::new(machine.save()?)),
            Stage::Failed(error) => return Err(error.clone()),
        };
        Ok(Arc::new(SavedLiving {
            image: self.factory.image.get().copied(),
            life: self.life,
            touched: self.touched,
            stage,
        }))
    }

    fn restore(&mut self, saved: &SavedBody) -> Result<(), EngineError> {
        self.put_back(saved).map_err(failed)
    }

    fn components(&mut self) -> Result<Vec<Component>, EngineError> {
        match &mut self.stage {
            Stage::Begun(begun) => Ok(begun.components()),
            Stage::Machine(machine) => machine.components(self.touched),
            Stage::Failed(error) => Err(error.clone()),
        }
    }

    fn retired(&self) -> u64 {
        match &self.stage {
            Stage::Begun(begun) => begun.retired(),
            Stage::Machine(machine) => machine.retired(),
            Stage::Failed(_) => 0,
        }
    }

    fn caveats(&self) -> Vec<String> {
        match &self.stage {
            Stage::Machine(machine) => machine.caveats(),
            // Only the exact engine begins so, which can promise everything.
            Stage::Begun(_) | Stage::Failed(_) => Vec::new(),
        }
    }

    fn lost(&self) -> (u64, u64) {
        match &self.stage {
            Stage::Machine(machine) => (machine.outputs_dropped(), machine.console_lost()),
            // A record with losses would have lost as much in each life; its outputs are taken in time.
            Stage::Begun(_) | Stage::Failed(_) => (0, 0),
        }
    }
}
