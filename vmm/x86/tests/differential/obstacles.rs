//! Cases that the host's processor or kernel must not be given, each with the reason.

use std::sync::OnceLock;

use iced_x86::{Instruction, Mnemonic as M, OpKind};

use crate::builder::{self, RSP};
use crate::layout::WINDOW;
use crate::state::{Case, apply_patches};

/// The size of a cache line, which a locked access must not leave where the kernel looks for that.
const LINE: u64 = 64;

/// The alignment check flag.
const AC: u64 = 1 << 18;

/// Why `case` is not run on the processor, if it is not.
pub fn obstacle(case: &Case, background: &[u8]) -> Option<&'static str> {
    let instruction = builder::decode(&case.native_bytes(), case.regs.rip, case.bits);
    if returns_to_checks(case, &instruction, background) {
        return Some(
            "IRET that pops AC off a misaligned stack: an Intel processor raises #AC \
             although AC was clear, which Linux takes for a split lock and answers \
             by putting the thread to sleep, again and again",
        );
    }
    let address = builder::memory_address(case, &instruction)?;
    splits_lock(&instruction, address).then_some(
        "locked access across cache lines: this host's kernel has split locks raise \
         #AC, and slows the thread or ends it",
    )
}

/// Whether an IRET finds AC in the flags that it pops, and its stack misaligned.
fn returns_to_checks(case: &Case, instruction: &Instruction, background: &[u8]) -> bool {
    let size = match instruction.mnemonic() {
        M::Iret => 2,
        M::Iretd => 4,
        M::Iretq => 8,
        _ => return false,
    };
    let mut window = background.to_vec();
    apply_patches(case, &mut window);
    let stack = case.regs.gpr[RSP];
    let flags = stack.wrapping_add(2 * size).wrapping_sub(WINDOW);
    let byte = usize::try_from(flags)
        .ok()
        .and_then(|at| window.get(at + 2));
    let checks = byte.is_some_and(|byte| u64::from(*byte) << 16 & AC != 0);
    checks && size > 2 && !stack.is_multiple_of(size)
}

/// Whether an instruction makes a locked access that leaves its cache line, on a host where that matters.
pub fn splits_lock(instruction: &Instruction, address: u64) -> bool {
    let exchanges = instruction.mnemonic() == M::Xchg && instruction.op0_kind() == OpKind::Memory;
    let locked = instruction.has_lock_prefix() || exchanges;
    let size = instruction.memory_size().size() as u64;
    locked && address % LINE + size > LINE && host_detects_split_locks()
}

fn host_detects_split_locks() -> bool {
    static DETECTS: OnceLock<bool> = OnceLock::new();
    *DETECTS.get_or_init(|| {
        let said = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        said.split_whitespace()
            .any(|word| word == "split_lock_detect")
    })
}
