//! A machine whose guest has not asked yet who it is, and which need not exist.

use std::sync::Arc;

use super::Beginning;
use crate::disk::Disk;
use crate::engine::EngineError;
use crate::machine::config::{MachineConfig, MachineError, power_on};
use crate::machine::hash::Component;
use crate::machine::image::ImageId;
use crate::machine::io::{Input, MachineEvent, Output, OutputKind, Outputs};
use crate::machine::measure::{Early, early_components};
use crate::machine::node::Machine;
use crate::machine::platform::{PlatformState, entropy_stream};
use crate::tape::{StreamState, Tape};
use crate::time::VirtTime;

/// A machine in its beginning. All that reaches its devices meanwhile is kept here.
#[derive(Clone)]
pub struct Begun {
    beginning: Arc<Beginning>,
    image: ImageId,
    /// Until when it was run.
    until: VirtTime,
    /// How many outputs of the record have been given out.
    given: usize,
    outputs: Outputs,
    /// The devices, as they are after power-on but for what came from outside.
    devices: PlatformState,
    disks: Vec<Disk>,
    entropy: StreamState,
}

impl Begun {
    /// A machine of this configuration at power-on.
    ///
    /// # Panics
    /// If the machine knows itself from power-on.
    pub fn new(config: &MachineConfig<'_>, beginning: Arc<Beginning>) -> Self {
        let image = config.anonymous();
        Self {
            beginning,
            image: image.expect("only a machine that has to be told who it is begins as others"),
            until: VirtTime(0),
            given: 0,
            outputs: Outputs::default(),
            devices: power_on(config),
            disks: config.attached_disks(),
            entropy: entropy_stream(&config.tape, &config.name).state().clone(),
        }
    }

    /// The present moment.
    pub fn now(&self) -> VirtTime {
        self.beginning.place(self.until).now
    }

    /// Instructions retired since power-on.
    pub fn retired(&self) -> u64 {
        self.beginning.place(self.until).retired
    }

    /// When something happens next: none if a vCPU runs.
    pub fn next_event(&self) -> Option<VirtTime> {
        self.beginning.place(self.until).idle_until
    }

    /// Lets time pass. False, and nothing happens, if the beginning is over by then: the machine has to be
    /// [made](Self::into_machine).
    pub fn advance(&mut self, until: VirtTime) -> bool {
        if until >= self.beginning.end {
            return false;
        }
        if until > self.until {
            self.until = until;
            self.give(until);
        }
        true
    }

    /// Gives out what comes before `moment`.
    fn give(&mut self, moment: VirtTime) {
        let rest = &self.beginning.outputs[self.given..];
        let due = rest.iter().take_while(|output| output.time < moment);
        for Output { time, kind } in due {
            self.given += 1;
            match kind {
                OutputKind::Event(MachineEvent::Console(bytes)) => self.outputs.print(*time, bytes),
                other => self.outputs.push(*time, other.clone()),
            }
        }
    }

    /// Takes what it gave out since the last call, in the order of the times.
    pub fn take_outputs(&mut self) -> Vec<Output> {
        self.outputs.take()
    }

    /// Takes an input that the guest can't see yet.
    ///
    /// # Panics
    /// If it is an interrupt, which changes what is executed.
    pub fn input(&mut self, input: Input) {
        match input {
            Input::Frame { nic, .. } => self.devices.virtio.lose_frame(nic),
            Input::Control(bytes) => self.devices.virtio.keep_control(&bytes),
            Input::Irq { .. } | Input::Nmi { .. } | Input::TimerNow { .. } => {
                panic!("a machine that is not executed was given an interrupt")
            }
        }
    }

    /// From now on faults have moved the date so far.
    pub fn move_wall(&mut self, moved_ns: i64) {
        self.devices.wall.set_moved(moved_ns);
    }

    /// Disk number `index`.
    pub fn disk_mut(&mut self, index: usize) -> Option<&mut Disk> {
        self.disks.get_mut(index)
    }

    /// Ends it and gives back its disks.
    pub fn into_disks(self) -> Vec<Disk> {
        self.disks
    }

    /// Goes on with the decisions of `tape`.
    pub fn decide_by(&mut self, tape: &Tape) {
        for disk in &mut self.disks {
            disk.decide_by(tape);
        }
    }

    /// The digests of what decides what it does next.
    pub fn components(&mut self) -> Vec<Component> {
        early_components(Early {
            image: self.image,
            now: self.now(),
            retired: self.retired(),
            devices: &self.devices,
            disks: &mut self.disks,
            entropy: &self.entropy,
        })
    }

    /// Makes the machine as it is at the end of the beginning.
    ///
    /// # Errors
    /// If it can't be made.
    pub fn into_machine(mut self, config: &MachineConfig<'_>) -> Result<Machine, MachineError> {
        self.give(self.beginning.end.after(1));
        let config = MachineConfig {
            disks: self.disks,
            ..config.clone()
        };
        let mut machine = Machine::begin(&config, &self.beginning.machine)?;
        machine.platform.state.virtio = self.devices.virtio;
        machine.platform.state.wall = self.devices.wall;
        machine.platform.outputs = self.outputs;
        Ok(machine)
    }

    /// Makes the machine as it is now, by executing what it did.
    ///
    /// # Errors
    /// If it can't be made, or the engine failed.
    pub fn execute(self, config: &MachineConfig<'_>) -> Result<Machine, MachineError> {
        let config = MachineConfig {
            disks: self.disks,
            ..config.clone()
        };
        let mut machine = Machine::new(&config)?;
        machine.platform.state.virtio = self.devices.virtio;
        machine.platform.state.wall = self.devices.wall;
        // In steps, so that no output is lost.
        let mut late = Vec::new();
        while machine.now() < self.until {
            let next = machine.now().after(super::STEP_NS).min(self.until);
            if machine.run_until(next)? != crate::machine::Stop::Reached {
                break;
            }
            late = machine.take_outputs();
            late.retain(|output| output.time >= self.until);
        }
        machine.platform.outputs = self.outputs;
        for Output { time, kind } in late {
            machine.platform.outputs.push(time, kind);
        }
        Ok(machine)
    }
}

impl Machine {
    /// The digests of everything that decides what the machine does next. As long as its guest has not asked
    /// who it is, that follows from its image and its age, and `touched` tells whether anything from outside
    /// has changed what it executes.
    ///
    /// # Errors
    /// If the engine itself failed.
    pub fn components(&mut self, touched: bool) -> Result<Vec<Component>, EngineError> {
        let image = self
            .image
            .filter(|_| !touched && !self.platform.state.introduced);
        let Some(image) = image else {
            return Ok(self.state_hash()?.components);
        };
        Ok(early_components(Early {
            image,
            now: self.now(),
            retired: self.retired(),
            devices: &self.platform.state,
            disks: &mut self.platform.disks,
            entropy: self.platform.entropy.state(),
        }))
    }
}
