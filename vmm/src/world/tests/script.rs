//! A machine that follows a script, in place of one with a processor.
//!
//! It is as awkward as a real one: what it does takes time, so that it may stop a little behind the
//! moment asked for, and what it gives out then is in that time.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use super::super::body::{Body, Life, Maker, SavedBody};
use crate::disk::Disk;
use crate::engine::EngineError;
use crate::machine::{Component, Input, MachineError, MachineEvent, Output, OutputKind, Stop};
use crate::tape::Tape;
use crate::time::VirtTime;

/// How long everything takes that a machine does, in nanoseconds.
pub const STEP: u64 = 7;
/// How many instructions that counts as, so that the pool finds it worth a thread.
const STEP_RETIRED: u64 = 30_000;

/// Where two machines meet, on two threads.
#[derive(Debug, Clone, Default)]
pub struct Meeting(Arc<(Mutex<u32>, Condvar)>);

impl Meeting {
    /// Waits for the other one, though not for ever. Whether it came.
    fn attend(&self) -> bool {
        let (here, came) = &*self.0;
        let mut here = here.lock().unwrap();
        *here += 1;
        came.notify_all();
        let patience = Duration::from_secs(60);
        let (here, _) = came
            .wait_timeout_while(here, patience, |here| *here < 2)
            .unwrap();
        *here >= 2
    }
}

impl PartialEq for Meeting {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Meeting {}

/// Something that a machine does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// Sends a frame.
    Send(usize, Vec<u8>),
    /// Writes a sector of these bytes to its first disk.
    Write(u64, u8),
    /// Flushes its first disk.
    Flush,
    /// Tells what the sector is filled with.
    Read(u64),
    /// Sends a message.
    Tell(String),
    /// Tells on which of the host's processors it may run.
    #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
    Processors,
    /// Waits until another machine does so, too, on another thread, and tells whether that one came.
    Meet(Meeting),
    /// Ends.
    Stop(Stop),
    /// Its engine fails.
    Fail,
    /// Something is wrong with its engine that should never be.
    Panic,
    /// Sends a frame with a drawn content to a drawn node among so many, and goes on after a drawn
    /// time of up to this.
    Chatter(usize, u64),
}

/// What a node does in each of its lives.
#[derive(Clone)]
pub struct Script {
    pub name: String,
    pub index: usize,
    pub acts: Vec<(u64, Act)>,
    /// Answers every frame that has an odd first byte of content with another.
    pub answers: bool,
    pub seed: u64,
    /// The host's processors that execute it.
    pub pin: Vec<u32>,
    /// Whether its machines can't be restored.
    pub refuses: bool,
    /// What was asked of all its machines.
    pub calls: Arc<Mutex<Vec<String>>>,
}

impl Script {
    pub fn new(index: usize, acts: Vec<(u64, Act)>) -> Self {
        Self {
            name: format!("n{index}"),
            index,
            acts,
            answers: false,
            seed: 0,
            pin: Vec::new(),
            refuses: false,
            calls: Arc::default(),
        }
    }
}

impl Maker for Script {
    fn make(&self, life: Life, disks: Vec<Disk>) -> Result<Box<dyn Body>, MachineError> {
        let Life {
            number: life,
            born: local,
            moved_ns,
        } = life;
        let acts = self.acts.iter().enumerate();
        let queue = acts.map(|(number, (time, act))| ((*time, number as u64), act.clone()));
        let mut machine = Scripted {
            script: self.clone(),
            now: 0,
            queue: queue.collect(),
            number: self.acts.len() as u64,
            state: self.seed ^ (self.index as u64) << 32 ^ life << 48,
            steps: 0,
            outputs: Vec::new(),
            disks,
        };
        machine.call(format!("life {life} at {}", local.0));
        if moved_ns != 0 {
            machine.call(format!("date moved by {moved_ns}"));
        }
        Ok(Box::new(machine))
    }

    fn resume(&self, _: Life, saved: &SavedBody) -> Result<Box<dyn Body>, MachineError> {
        let mut machine = scripted(saved).clone();
        machine.script = self.clone();
        Ok(Box::new(machine))
    }

    fn rate(&self) -> u64 {
        1000
    }
}

fn scripted(saved: &SavedBody) -> &Scripted {
    saved.downcast_ref().expect("it was saved of a script")
}

#[derive(Clone)]
struct Scripted {
    script: Script,
    now: u64,
    queue: BTreeMap<(u64, u64), Act>,
    number: u64,
    state: u64,
    steps: u64,
    outputs: Vec<Output>,
    disks: Vec<Disk>,
}

impl Scripted {
    fn call(&mut self, call: String) {
        self.script.calls.lock().unwrap().push(call);
    }

    fn give(&mut self, kind: OutputKind) {
        let time = VirtTime(self.now + self.state % STEP);
        // What it gives out at one time is in the order of time.
        let last = self.outputs.last().map_or(time, |output| output.time);
        let time = time.max(last);
        self.outputs.push(Output { time, kind });
    }

    fn tell(&mut self, text: String) {
        self.give(OutputKind::Event(MachineEvent::Sdk(text.into_bytes())));
    }

    fn plan(&mut self, time: u64, act: Act) {
        self.queue.insert((time, self.number), act);
        self.number += 1;
    }

    fn draw(&mut self, below: u64) -> u64 {
        // Some work, so that threads overlap.
        for _ in 0..200 {
            self.state = self
                .state
                .rotate_left(23)
                .wrapping_mul(0x9e37_79b9_7f4a_7c15)
                + 1;
        }
        (self.state >> 8) % below
    }

    fn act(&mut self, act: Act) -> Result<Option<Stop>, EngineError> {
        self.steps += 1;
        match act {
            Act::Send(nic, bytes) => self.give(OutputKind::Frame { nic, bytes }),
            Act::Write(sector, byte) => {
                let result = self.disks[0].write(sector * 512, &[byte; 512], false);
                self.tell(format!("write {result:?}"));
            }
            Act::Flush => self.disks[0].flush().expect("flushes do not fail"),
            Act::Read(sector) => {
                let mut bytes = [0; 512];
                let result = self.disks[0].read(sector * 512, &mut bytes);
                let kept = bytes.iter().filter(|byte| **byte != 0).count();
                self.tell(format!(
                    "read {result:?} {} {kept}",
                    bytes[511].max(bytes[0])
                ));
            }
            Act::Tell(text) => self.tell(text),
            #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
            Act::Processors => self.tell(format!("{:?}", crate::affinity::allowed())),
            Act::Meet(meeting) => {
                let came = meeting.attend();
                self.tell(if came { "both are here" } else { "alone" }.to_owned());
            }
            Act::Stop(stop) => return Ok(Some(stop)),
            Act::Fail => {
                return Err(EngineError::Host {
                    engine: "scripted",
                    vcpu: 0,
                    what: "as the script says".to_owned(),
                });
            }
            Act::Panic => panic!("scripted"),
            Act::Chatter(nodes, period) => {
                let to = self.draw(nodes as u64 + 1) as usize;
                let destination = if to == nodes { [0xff; 6] } else { mac(to) };
                let content = self.draw(1 << 40).to_le_bytes();
                let length = self.draw(600) as usize;
                let mut bytes = frame(destination, mac(self.script.index), &content);
                bytes.resize(bytes.len() + length, 7);
                self.give(OutputKind::Frame { nic: 0, bytes });
                let next = self.now + self.draw(period);
                self.plan(next, Act::Chatter(nodes, period));
            }
        }
        Ok(None)
    }
}

pub fn mac(node: usize) -> [u8; 6] {
    [2, 0, 0, 0, 0, node as u8]
}

pub fn frame(to: [u8; 6], from: [u8; 6], content: &[u8]) -> Vec<u8> {
    [&to[..], &from[..], &[0x88, 0xb5], content].concat()
}

impl Body for Scripted {
    fn now(&self) -> VirtTime {
        VirtTime(self.now)
    }

    fn run_until(&mut self, until: VirtTime) -> Result<Stop, EngineError> {
        while let Some(entry) = self.queue.first_entry() {
            let begin = entry.key().0.max(self.now);
            if begin >= until.0 {
                break;
            }
            let act = entry.remove();
            self.now = begin;
            if let Some(stop) = self.act(act)? {
                return Ok(stop);
            }
            self.now = begin + STEP;
        }
        self.now = self.now.max(until.0);
        Ok(Stop::Reached)
    }

    fn next_event(&self) -> Option<VirtTime> {
        match self.queue.keys().next() {
            Some((time, _)) if *time <= self.now => None,
            next => Some(VirtTime(next.map_or(u64::MAX, |(time, _)| *time))),
        }
    }

    fn take_outputs(&mut self) -> Vec<Output> {
        std::mem::take(&mut self.outputs)
    }

    fn input(&mut self, input: Input) {
        let kind;
        let what: &[u8] = match &input {
            Input::Frame { bytes, .. } | Input::Control(bytes) => bytes,
            other => {
                kind = format!("{other:?}");
                kind.as_bytes()
            }
        };
        for word in what.iter().map(|byte| u64::from(*byte)).chain([self.now]) {
            self.state = (self.state ^ word).wrapping_mul(0x0100_0000_01b3);
        }
        let text = match &input {
            Input::Frame { bytes, .. } => {
                let content = bytes.get(14);
                if self.script.answers && content.is_some_and(|byte| byte & 1 != 0) {
                    let to = bytes[6..12].try_into().unwrap();
                    let answer = frame(to, mac(self.script.index), &[0, 1, 2]);
                    self.plan(self.now, Act::Send(0, answer));
                }
                format!("frame {content:?}")
            }
            Input::Control(bytes) => format!("control {}", String::from_utf8_lossy(bytes)),
            other => format!("{other:?}"),
        };
        let text = format!("{text} at {}", self.now);
        self.plan(self.now, Act::Tell(text));
    }

    fn skip_to(&mut self, moment: VirtTime) {
        self.now = self.now.max(moment.0);
    }

    fn set_rate(&mut self, instructions_per_us: u64) {
        self.call(format!("rate {instructions_per_us}"));
    }

    fn delay_timers(&mut self, by_ns: u64) {
        self.call(format!("delay {by_ns}"));
    }

    fn move_wall(&mut self, moved_ns: i64) {
        self.call(format!("date moved by {moved_ns}"));
    }

    fn disk_mut(&mut self, index: usize) -> Option<&mut Disk> {
        self.disks.get_mut(index)
    }

    fn into_disks(self: Box<Self>) -> Vec<Disk> {
        self.disks
    }

    fn save(&mut self) -> Result<SavedBody, EngineError> {
        Ok(Arc::new(self.clone()))
    }

    fn restore(&mut self, saved: &SavedBody) -> Result<(), EngineError> {
        if self.script.refuses {
            return Err(EngineError::Host {
                engine: "scripted",
                vcpu: 0,
                what: "it takes nothing back".to_owned(),
            });
        }
        self.clone_from(scripted(saved));
        Ok(())
    }

    fn components(&mut self) -> Result<Vec<Component>, EngineError> {
        let disks: Vec<u128> = self.disks.iter_mut().map(Disk::digest).collect();
        let state = (self.now, self.number, self.state, self.steps, disks);
        Ok(vec![Component {
            name: "script".to_owned(),
            digest: super::super::digest_of(&state),
        }])
    }

    fn retired(&self) -> u64 {
        self.steps * STEP_RETIRED
    }

    fn caveats(&self) -> Vec<String> {
        vec!["it is scripted".to_owned()]
    }

    fn lost(&self) -> (u64, u64) {
        (0, 0)
    }
}

/// The blueprint of a node with this script, on network 0, with a disk.
pub fn blueprint(script: Script) -> super::super::Blueprint {
    let mut disk = Disk::blank("data", 1 << 20).unwrap();
    disk.attach(&Tape::new(1), &format!("{}/disk0/faults", script.name));
    super::super::Blueprint {
        name: script.name.clone(),
        nics: vec![0],
        drift_ppb: 0,
        pin: Arc::from(script.pin.as_slice()),
        disks: vec![disk],
        maker: Box::new(script),
    }
}
