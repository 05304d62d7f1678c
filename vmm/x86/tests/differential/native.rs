//! Runs a case on the processor itself, in this process.
//!
//! The case's registers are loaded and IRETQ jumps to its code. Whatever happens there ends in an
//! exception, at the latest in the INT3 that follows the instruction; the kernel reports it as a
//! signal with all registers, and the signal's return goes back to the harness.

mod watchdog;

use std::cell::UnsafeCell;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use libc::{c_int, c_void};

use crate::layout::{
    CODE, CODE_SIZE, PAGE, READ_ONLY, RESERVE_END, RESERVE_START, USER_CS, USER_CS32, USER_SS,
    WINDOW, WINDOW_SIZE,
};
use crate::state::{Case, Fp, Outcome, Regs, Selectors, apply_patches};
pub use watchdog::Hang;
use watchdog::Watchdog;

/// What no case takes, whatever else the host is doing: a thousand times a time slice, and more.
const PATIENCE: Duration = Duration::from_secs(30);

/// What the trampolines, the signal handler and the harness share. The assembly knows the layout.
#[repr(C, align(64))]
struct Shared {
    fx: [u8; 512],
    entry: [u64; 20],
    host_rsp: u64,
    host_fs: u64,
    fs_base: u64,
    gs_base: u64,
    selectors: [u16; 4],
    in_guest: u64,
    gregs: [i64; 23],
    /// The watchdog ended the case.
    ended: bool,
}

const ENTRY: usize = std::mem::offset_of!(Shared, entry);
const HOST_RSP: usize = std::mem::offset_of!(Shared, host_rsp);
const HOST_FS: usize = std::mem::offset_of!(Shared, host_fs);
const FS_BASE: usize = std::mem::offset_of!(Shared, fs_base);
const GS_BASE: usize = std::mem::offset_of!(Shared, gs_base);
const SELECTORS: usize = std::mem::offset_of!(Shared, selectors);
const IN_GUEST: usize = std::mem::offset_of!(Shared, in_guest);

struct SharedCell(UnsafeCell<Shared>);

// SAFETY: only the one `Native` of the process touches it, and its signal handler, which runs on
// the same thread while the harness waits in `enter`.
unsafe impl Sync for SharedCell {}

static SHARED: SharedCell = SharedCell(UnsafeCell::new(Shared {
    fx: [0; 512],
    entry: [0; 20],
    host_rsp: 0,
    host_fs: 0,
    fs_base: 0,
    gs_base: 0,
    selectors: [0; 4],
    in_guest: 0,
    gregs: [0; 23],
    ended: false,
}));

/// The address of the writable mapping of the code, zero before there is one. Whoever holds the
/// lock is the only one to run cases.
static CODE_ALIAS: Mutex<usize> = Mutex::new(0);

/// Loads the case's registers and jumps to it. It returns when the handler has sent the thread to
/// [`resume`].
///
/// # Safety
/// `Shared` describes a case whose code ends in an exception and leaves the host's memory alone.
#[unsafe(naked)]
unsafe extern "C" fn enter(shared: *mut Shared) {
    std::arch::naked_asm!(
        "push rbx",
        "push rbp",
        "push r12",
        "push r13",
        "push r14",
        "push r15",
        "mov [rdi + {host_rsp}], rsp",
        "rdfsbase rax",
        "mov [rdi + {host_fs}], rax",
        "mov rax, [rdi + {gs_base}]",
        "wrgsbase rax",
        "mov rax, [rdi + {fs_base}]",
        "wrfsbase rax",
        "mov es, word ptr [rdi + {selectors}]",
        "mov ds, word ptr [rdi + {selectors} + 2]",
        "fxrstor64 [rdi]",
        "mov qword ptr [rdi + {in_guest}], 1",
        "lea rsp, [rdi + {entry}]",
        "pop rax",
        "pop rcx",
        "pop rdx",
        "pop rbx",
        "pop rbp",
        "pop rsi",
        "pop rdi",
        "pop r8",
        "pop r9",
        "pop r10",
        "pop r11",
        "pop r12",
        "pop r13",
        "pop r14",
        "pop r15",
        "iretq",
        host_rsp = const HOST_RSP,
        host_fs = const HOST_FS,
        gs_base = const GS_BASE,
        fs_base = const FS_BASE,
        selectors = const SELECTORS,
        in_guest = const IN_GUEST,
        entry = const ENTRY,
    )
}

/// Where the signal handler returns to: the end of [`enter`].
#[unsafe(naked)]
unsafe extern "C" fn resume() {
    std::arch::naked_asm!(
        "pop r15", "pop r14", "pop r13", "pop r12", "pop rbp", "pop rbx", "ret"
    )
}

/// The signal handler's first instructions: it puts back what compiled code relies on (alignment
/// checks off, the thread pointer) before any compiled code runs.
#[unsafe(naked)]
unsafe extern "C" fn handler(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    std::arch::naked_asm!(
        "pushfq",
        "and qword ptr [rsp], -0x44001",
        "popfq",
        "lea rcx, [rip + {shared}]",
        "mov word ptr [rcx + {selectors}], es",
        "mov word ptr [rcx + {selectors} + 2], ds",
        "mov word ptr [rcx + {selectors} + 4], fs",
        "mov word ptr [rcx + {selectors} + 6], gs",
        "rdfsbase rax",
        "mov [rcx + {fs_base}], rax",
        "rdgsbase rax",
        "mov [rcx + {gs_base}], rax",
        "xor eax, eax",
        "mov ds, eax",
        "mov es, eax",
        "mov fs, eax",
        "mov gs, eax",
        "mov rax, [rcx + {host_fs}]",
        "wrfsbase rax",
        "jmp {rest}",
        shared = sym SHARED,
        selectors = const SELECTORS,
        fs_base = const FS_BASE,
        gs_base = const GS_BASE,
        host_fs = const HOST_FS,
        rest = sym handle,
    )
}

/// Copies the case's final state out of the signal frame and makes the frame return to [`resume`].
unsafe extern "C" fn handle(signal: c_int, _info: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: the kernel passes a valid context, and the harness waits while the handler runs.
    let (shared, context) = unsafe {
        (
            &mut *SHARED.0.get(),
            &mut *context.cast::<libc::ucontext_t>(),
        )
    };
    let watchdog = signal == libc::SIGALRM;
    if shared.in_guest == 0 && watchdog {
        // The case has ended, or has not begun: the timer comes again.
        return;
    }
    if shared.in_guest == 0 {
        // A bug of the harness itself: let the signal kill the process at the same instruction.
        // SAFETY: resetting a handler has no precondition.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
        return;
    }
    shared.in_guest = 0;
    shared.ended = watchdog;
    let machine = &mut context.uc_mcontext;
    shared.gregs.copy_from_slice(&machine.gregs);
    // SAFETY: the kernel always saves the floating-point state, in the layout of FXSAVE.
    let image = unsafe { &mut *machine.fpregs.cast::<[u8; 512]>() };
    shared.fx.copy_from_slice(image);
    image[0..5].copy_from_slice(&[0x7f, 0x03, 0, 0, 0]);
    image[24..28].copy_from_slice(&0x1f80_u32.to_le_bytes());
    machine.gregs[libc::REG_RIP as usize] = resume as *const () as i64;
    machine.gregs[libc::REG_RSP as usize] = shared.host_rsp as i64;
    machine.gregs[libc::REG_EFL as usize] = 0x202;
    machine.gregs[libc::REG_CSGSFS as usize] = i64::from(USER_CS) | i64::from(USER_SS) << 48;
}

/// The processor as an executor of cases. Only one thread at a time has it.
pub struct Native {
    code: *mut u8,
    watchdog: Watchdog,
    _lock: MutexGuard<'static, usize>,
}

impl Native {
    /// Waits until no other thread has the processor, maps the window and the code if nobody has
    /// yet, and takes over the signals of exceptions.
    ///
    /// # Panics
    /// If the host refuses a mapping or does not let user mode write the FS and GS bases.
    pub fn acquire() -> Self {
        let mut lock = CODE_ALIAS.lock().unwrap_or_else(PoisonError::into_inner);
        if *lock == 0 {
            *lock = map_everything() as usize;
        }
        install_handlers();
        Self {
            code: *lock as *mut u8,
            watchdog: Watchdog::new(),
            _lock: lock,
        }
    }

    /// Runs a case with `background`, but for the case's patches, as the contents of the data window.
    ///
    /// # Errors
    /// [`Hang`] if the case does not end.
    pub fn run(&mut self, case: &Case, background: &[u8]) -> Result<Outcome, Hang> {
        self.run_for(case, background, PATIENCE)
    }

    /// As [`Self::run`], for as long as `patience`.
    pub fn run_for(
        &mut self,
        case: &Case,
        background: &[u8],
        patience: Duration,
    ) -> Result<Outcome, Hang> {
        // SAFETY: `new` mapped the window, and nobody holds a reference into it.
        let window =
            unsafe { std::slice::from_raw_parts_mut(WINDOW as *mut u8, WINDOW_SIZE as usize) };
        window.copy_from_slice(background);
        apply_patches(case, window);
        let offset = (case.regs.rip - CODE) as usize;
        let bytes = case.native_bytes();
        let visible = bytes.len().min(CODE_SIZE as usize - offset);
        // SAFETY: `visible` ends with the mapping.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), self.code.add(offset), visible) };
        let shared = SHARED.0.get();
        self.watchdog.start(patience);
        // SAFETY: the handler only runs inside `enter`; the case was generated to stay in the
        // window and to end in an exception.
        let (gregs, fx, fs_base, gs_base, selectors, ended) = unsafe {
            (*shared).ended = false;
            load(&mut *shared, case);
            enter(shared);
            let shared = &*shared;
            (
                shared.gregs,
                shared.fx,
                shared.fs_base,
                shared.gs_base,
                shared.selectors,
                shared.ended,
            )
        };
        self.watchdog.stop();
        // SAFETY: as above.
        unsafe { std::ptr::write_bytes(self.code.add(offset), 0xcc, visible) };
        if ended {
            return Err(Hang {
                form: case.form,
                patience,
            });
        }
        let [es, ds, fs, gs] = selectors;
        let cs_gs_fs_ss = gregs[libc::REG_CSGSFS as usize] as u64;
        let (cs, ss) = (cs_gs_fs_ss as u16, (cs_gs_fs_ss >> 48) as u16);
        let vector = gregs[libc::REG_TRAPNO as usize] as u8;
        Ok(Outcome {
            vector,
            error: gregs[libc::REG_ERR as usize] as u64,
            cr2: if vector == 14 {
                gregs[libc::REG_CR2 as usize] as u64
            } else {
                0
            },
            regs: Regs {
                gpr: GPR_ORDER.map(|index| gregs[index as usize] as u64),
                rip: gregs[libc::REG_RIP as usize] as u64,
                rflags: gregs[libc::REG_EFL as usize] as u64,
                fs_base,
                gs_base,
                selectors: Selectors {
                    es,
                    ds,
                    fs,
                    gs,
                    cs,
                    ss,
                },
                fp: Fp::from_image(&fx),
            },
            window: window.to_vec(),
        })
    }
}

/// The general registers of a signal frame in the order of their encoding.
const GPR_ORDER: [c_int; 16] = [
    libc::REG_RAX,
    libc::REG_RCX,
    libc::REG_RDX,
    libc::REG_RBX,
    libc::REG_RSP,
    libc::REG_RBP,
    libc::REG_RSI,
    libc::REG_RDI,
    libc::REG_R8,
    libc::REG_R9,
    libc::REG_R10,
    libc::REG_R11,
    libc::REG_R12,
    libc::REG_R13,
    libc::REG_R14,
    libc::REG_R15,
];

/// Fills in what [`enter`] loads.
fn load(shared: &mut Shared, case: &Case) {
    let regs = &case.regs;
    shared.fx = regs.fp.to_image();
    shared.fs_base = regs.fs_base;
    shared.gs_base = regs.gs_base;
    shared.selectors = [regs.selectors.es, regs.selectors.ds, 0, 0];
    let [
        rax,
        rcx,
        rdx,
        rbx,
        rsp,
        rbp,
        rsi,
        rdi,
        r8,
        r9,
        r10,
        r11,
        r12,
        r13,
        r14,
        r15,
    ] = regs.gpr;
    let cs = if case.bits == 64 { USER_CS } else { USER_CS32 };
    let frame = [regs.rip, cs.into(), regs.rflags, rsp, USER_SS.into()];
    let general = [
        rax, rcx, rdx, rbx, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15,
    ];
    shared.entry[..15].copy_from_slice(&general);
    shared.entry[15..].copy_from_slice(&frame);
}

/// Maps the window, the read-only page and the code. Returns the writable mapping of the code.
fn map_everything() -> *mut u8 {
    // SAFETY: reading the auxiliary vector has no precondition.
    let fsgsbase = unsafe { libc::getauxval(libc::AT_HWCAP2) } & 2 != 0;
    assert!(
        fsgsbase,
        "this host does not let user mode write the FS and GS bases"
    );
    map_fixed(
        RESERVE_START,
        RESERVE_END - RESERVE_START,
        libc::PROT_NONE,
        None,
    );
    map_fixed(
        WINDOW,
        WINDOW_SIZE,
        libc::PROT_READ | libc::PROT_WRITE,
        None,
    );
    map_fixed(READ_ONLY, PAGE, libc::PROT_READ | libc::PROT_WRITE, None);
    let background = crate::values::read_only_page();
    // SAFETY: the page was mapped just now, and a page is what is copied.
    unsafe {
        std::ptr::copy_nonoverlapping(background.as_ptr(), READ_ONLY as *mut u8, PAGE as usize);
        libc::mprotect(READ_ONLY as *mut c_void, PAGE as usize, libc::PROT_READ);
    }
    map_code()
}

/// Maps the code twice, executable where the case runs and writable elsewhere, and fills it with
/// INT3. Returns the writable mapping.
fn map_code() -> *mut u8 {
    // SAFETY: the name is a C string; the descriptor is closed once both mappings exist.
    unsafe {
        let file = libc::memfd_create(c"differential".as_ptr(), 0);
        assert!(
            file >= 0 && libc::ftruncate(file, CODE_SIZE as i64) == 0,
            "no memory for the code"
        );
        map_fixed(
            CODE,
            CODE_SIZE,
            libc::PROT_READ | libc::PROT_EXEC,
            Some(file),
        );
        let writable = libc::mmap(
            std::ptr::null_mut(),
            CODE_SIZE as usize,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_SHARED,
            file,
            0,
        );
        assert!(
            writable != libc::MAP_FAILED,
            "no writable mapping of the code"
        );
        libc::close(file);
        std::ptr::write_bytes(writable.cast::<u8>(), 0xcc, CODE_SIZE as usize);
        // A first read makes the pages present, so that a store there reports a protection fault.
        for page in (CODE..CODE + CODE_SIZE).step_by(PAGE as usize) {
            std::ptr::read_volatile(page as *const u8);
        }
        writable.cast()
    }
}

fn map_fixed(address: u64, size: u64, protection: c_int, file: Option<c_int>) {
    let inside_reserve = address != RESERVE_START;
    let kind = if file.is_some() {
        libc::MAP_SHARED
    } else {
        libc::MAP_PRIVATE | libc::MAP_ANONYMOUS
    };
    let place = if inside_reserve {
        libc::MAP_FIXED
    } else {
        libc::MAP_FIXED_NOREPLACE
    };
    // SAFETY: the reserve is mapped first and without replacing anything; the rest lies inside it.
    let mapped = unsafe {
        libc::mmap(
            address as *mut c_void,
            size as usize,
            protection,
            kind | place | libc::MAP_POPULATE,
            file.unwrap_or(-1),
            0,
        )
    };
    assert!(
        mapped as u64 == address,
        "the host refuses to map {address:#x}"
    );
}

fn install_handlers() {
    const STACK: usize = 1 << 18;
    // SAFETY: the alternate stack is leaked, and the handler is written for exactly these signals.
    unsafe {
        let stack = Box::leak(vec![0_u8; STACK].into_boxed_slice());
        let alternate = libc::stack_t {
            ss_sp: stack.as_mut_ptr().cast(),
            ss_flags: 0,
            ss_size: STACK,
        };
        assert!(libc::sigaltstack(&raw const alternate, std::ptr::null_mut()) == 0);
        for signal in [
            libc::SIGSEGV,
            libc::SIGBUS,
            libc::SIGFPE,
            libc::SIGILL,
            libc::SIGTRAP,
            libc::SIGALRM,
        ] {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = handler as *const () as usize;
            action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
            // A case has one end.
            libc::sigaddset(&raw mut action.sa_mask, libc::SIGALRM);
            assert!(libc::sigaction(signal, &raw const action, std::ptr::null_mut()) == 0);
        }
        let mut thread_pointer: u64;
        std::arch::asm!("rdfsbase {}", out(reg) thread_pointer);
        (*SHARED.0.get()).host_fs = thread_pointer;
    }
}
