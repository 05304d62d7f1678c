//! Executes single x87 instructions on the host's processor. The code is written into a page of its
//! own; the states go through FRSTOR and FNSAVE.

use std::arch::asm;

/// What an instruction runs from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Input {
    /// The state in the layout of FRSTOR with 32-bit fields. Nothing unmasked may be pending.
    pub state: [u8; 108],
    pub memory: [u8; 16],
    pub rflags: u64,
}

/// What it leaves.
#[derive(Debug, Clone, Copy)]
pub(super) struct Output {
    /// The state in the layout of FNSAVE.
    pub state: [u8; 108],
    pub memory: [u8; 16],
    pub rflags: u64,
    pub ax: u16,
}

/// What AX holds before the instruction.
pub(super) const AX: u16 = 0x1234;

/// A page of code that loads a state, executes one instruction and stores the state.
pub(super) struct Native {
    page: *mut u8,
}

const PAGE: usize = 4096;

impl Native {
    /// Prepares the execution of an instruction whose memory operand, if any, is `[rsi]`.
    pub(super) fn new(instruction: &[u8]) -> Self {
        let page: usize;
        // SAFETY: mmap of a new anonymous private mapping (system call 9) touches no memory of ours;
        // the kernel clobbers only rcx and r11.
        unsafe {
            asm!("syscall", inlateout("rax") 9usize => page, in("rdi") 0, in("rsi") PAGE, in("rdx") 7,
                in("r10") 0x22, in("r8") -1isize, in("r9") 0, out("rcx") _, out("r11") _);
        }
        assert!((page as isize) > 0, "mmap failed with {}", page as isize);
        let mut code = vec![0xdd, 0x27, 0xb8];
        code.extend(u32::from(AX).to_le_bytes());
        code.extend([0x41, 0x50, 0x9d]);
        code.extend(instruction);
        code.extend([
            0x9c, 0x41, 0x58, 0x4c, 0x89, 0x01, 0x48, 0x89, 0x41, 0x08, 0xdd, 0x32, 0xc3,
        ]);
        let page = page as *mut u8;
        // SAFETY: the mapping is writable, longer than the code, and nobody else knows it.
        unsafe { std::ptr::copy_nonoverlapping(code.as_ptr(), page, code.len()) };
        Self { page }
    }

    pub(super) fn run(&self, input: &Input) -> Output {
        let mut state = [0u8; 108];
        let mut memory = input.memory;
        let mut registers = [0u64; 2];
        // SAFETY: the page holds a function that reads 108 bytes from rdi, accesses at most 16 at
        // rsi, writes 108 to rdx and 16 to rcx, and clobbers rax, r8, the flags and the x87 state,
        // which FNSAVE leaves initialised. Its pushes are balanced, and no red zone is in use
        // because the block may push.
        unsafe {
            asm!("call {page}", page = in(reg) self.page, in("rdi") input.state.as_ptr(),
                in("rsi") memory.as_mut_ptr(), in("rdx") state.as_mut_ptr(), in("rcx") registers.as_mut_ptr(),
                in("r8") input.rflags, clobber_abi("C"));
        }
        Output {
            state,
            memory,
            rflags: registers[0],
            ax: registers[1] as u16,
        }
    }
}

/// A memory operand that is large enough for every image.
#[repr(C, align(64))]
pub(super) struct Image(pub [u8; 576]);

impl Native {
    /// Executes an instruction with an image as its memory operand; gives the state after it.
    pub(super) fn run_on(&self, state: &[u8; 108], image: &mut Image) -> [u8; 108] {
        let mut after = [0u8; 108];
        let mut registers = [0u64; 2];
        // SAFETY: as in `run`, with 576 accessible bytes at rsi; instructions with images may also
        // load the vector registers, which the ABI lets a callee clobber.
        unsafe {
            asm!("call {page}", page = in(reg) self.page, in("rdi") state.as_ptr(),
                in("rsi") image.0.as_mut_ptr(), in("rdx") after.as_mut_ptr(),
                in("rcx") registers.as_mut_ptr(),
                in("r8") 0x202u64, clobber_abi("C"));
        }
        after
    }
}

impl Drop for Native {
    fn drop(&mut self) {
        // SAFETY: munmap (system call 11) of the mapping that `new` made and that nothing else uses.
        unsafe {
            asm!("syscall", inlateout("rax") 11usize => _, in("rdi") self.page, in("rsi") PAGE,
                out("rcx") _, out("r11") _);
        }
    }
}
