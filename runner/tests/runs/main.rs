//! The program as people and CI jobs meet it: `chaosrun run` on small scenarios with guests that misbehave
//! (`guests/misbehave`), on hosts that fail, with Ctrl-C, and with the options that choose what runs. What
//! counts is the exit code, what is printed, and what is in the files.
//!
//! One target for all, so that there is one program to link; kernel and guest come from chaosrun's cache.

#[path = "../machines/elf.rs"]
mod elf;
mod ends;
mod floods;
mod host;
mod independence;
mod program;
mod recordings;
mod selection;
mod signals;
