//! Instructions that hosts get wrong: what their emulators lack, hypercalls, SYSCALL, single steps.

use kvm_bindings::{KVM_GUESTDBG_ENABLE, KVM_GUESTDBG_SINGLESTEP, kvm_guest_debug};

use super::lab::{Did, Lab, USER_CODE, guest};
use super::{answer, good, limited};
use crate::engine::kvm::exit::{Failure, Left};
use crate::engine::kvm::host::HostError;
use crate::engine::probe::{Answer, Blocks, Grade};

guest!(popcnt, "popcnt eax, ebx", "out 0x10, al");
guest!(sse, "movaps xmm1, xmm0", "addpd xmm1, xmm0", "out 0x10, al");
guest!(
    x87,
    "fninit",
    "fld1",
    "fstp qword ptr [0xa000]",
    "out 0x10, al"
);
guest!(fwait, "fwait", "out 0x10, al");
guest!(
    fxsave,
    "fxsave [0xa000]",
    "fxrstor [0xa000]",
    "out 0x10, al"
);
guest!(
    xsave,
    "mov rax, cr4",
    "bts rax, 18",
    "mov cr4, rax",
    "mov eax, 3",
    "xor edx, edx",
    "xsave [0xa000]",
    "xrstor [0xa000]",
    "out 0x10, al"
);
guest!(
    xgetbv,
    "mov rax, cr4",
    "bts rax, 18",
    "mov cr4, rax",
    "xor ecx, ecx",
    "xgetbv",
    "out 0x10, al"
);
guest!(int3, "int3", "ud2");
guest!(int_n, "int 0x20", "ud2");
guest!(cmpxchg16b, "lock cmpxchg16b [0xa000]", "out 0x10, al");
guest!(
    cmpxchg,
    "lock cmpxchg [0xa000], rbx",
    "lock xadd [0xa000], rax",
    "out 0x10, al"
);
guest!(
    strings,
    "cld",
    "mov esi, 0xa000",
    "mov edi, 0xa800",
    "mov ecx, 100",
    "rep movsb",
    "mov ecx, 10",
    "rep stosq",
    "out 0x10, al"
);
guest!(
    tables,
    "str eax",
    "sgdt [0xa000]",
    "lgdt [0xa000]",
    "sidt [0xa000]",
    "lidt [0xa000]",
    "out 0x10, al"
);
guest!(
    control,
    "mov rax, cr3",
    "mov cr3, rax",
    "invlpg [0xa000]",
    "wbinvd",
    "clts",
    "swapgs",
    "mov rax, cr8",
    "mov cr8, rax",
    "mov rax, dr7",
    "mov dr7, rax",
    "out 0x10, al"
);
guest!(
    fences,
    "lfence",
    "mfence",
    "sfence",
    "pause",
    "clflush [0xa000]",
    "prefetcht0 [0xa000]",
    "out 0x10, al"
);
guest!(segment_bases, "wrfsbase rax", "out 0x10, al");
guest!(vmcall, "vmcall", "out 0x10, al");
guest!(vmmcall, "vmmcall", "out 0x10, al");
guest!(two_steps, "nop", "nop", "out 0x10, al");
guest!(
    syscalls,
    "mov ecx, 0xc0000081",
    "xor eax, eax",
    "mov edx, 0x00130008",
    "wrmsr",
    "mov ecx, 0xc0000082",
    "lea rax, [rip + 2f]",
    "xor edx, edx",
    "wrmsr",
    "push 0x1b",
    "push 0x9000",
    "push 2",
    "push 0x23",
    "push 0x20000",
    "iretq",
    // Only kernel mode may read this.
    "2: mov rax, cr0",
    "out 0x10, al",
);
guest!(user_syscall, "syscall");

/// A thing to try, by its name: the guest, and what it should do.
type Try = (&'static str, fn() -> &'static [u8], Did);

/// What kernels use. `wrfsbase` is not enabled and has to fault, not to be unknown.
const KERNEL: [Try; 16] = [
    ("POPCNT", popcnt, Did::Done),
    ("SSE", sse, Did::Done),
    ("x87", x87, Did::Done),
    ("FWAIT", fwait, Did::Done),
    ("FXSAVE", fxsave, Did::Done),
    ("XSAVE and XRSTOR", xsave, Did::Done),
    ("XGETBV", xgetbv, Did::Done),
    ("INT3", int3, Did::Trapped(3)),
    ("INT n", int_n, Did::Trapped(0x20)),
    ("CMPXCHG16B", cmpxchg16b, Did::Done),
    ("locked instructions", cmpxchg, Did::Done),
    ("string instructions", strings, Did::Done),
    ("descriptor tables", tables, Did::Done),
    ("control registers", control, Did::Done),
    ("fences", fences, Did::Done),
    ("WRFSBASE", segment_bases, Did::Trapped(6)),
];

/// What the host's emulator lacks in kernel mode.
pub(super) fn kernel() -> Answer {
    let mut missing = Vec::new();
    let mut wrong = Vec::new();
    for (name, code, expected) in KERNEL {
        match Lab::new(code()).map(|mut lab| lab.run()) {
            Err(error) => return error.into(),
            Ok(did) if did == expected => {}
            Ok(Did::Left(Left::Failed(Failure::Emulation(_)))) => missing.push(name),
            Ok(did) => wrong.push(format!("{name} ({did})")),
        }
    }
    if missing.is_empty() && wrong.is_empty() {
        return good("everything that was tried works", "kernels run");
    }
    let mut measured = Vec::new();
    if !missing.is_empty() {
        measured.push(format!("KVM can't execute {}", missing.join(", ")));
    }
    if !wrong.is_empty() {
        measured.push(format!("wrong: {}", wrong.join(", ")));
    }
    answer(
        Grade::Bad,
        measured.join("; "),
        "a kernel that uses them ends in an internal error of KVM",
        &[Blocks::Linux],
    )
}

fn hypercall(name: &str, code: &[u8]) -> Answer {
    match Lab::new(code).map(|mut lab| lab.run()) {
        Err(error) => error.into(),
        Ok(Did::Stuck) => limited(
            format!("{name} never comes back"),
            "a guest that executes it is stopped like one that never exits; chaosrun's own channel does \
             not use it",
        ),
        Ok(did) => good(
            format!("{name}: {did}"),
            "it comes back; chaosrun's own channel does not use it",
        ),
    }
}

/// VMCALL.
pub(super) fn intel_hypercall() -> Answer {
    hypercall("VMCALL", vmcall())
}

/// VMMCALL.
pub(super) fn amd_hypercall() -> Answer {
    hypercall("VMMCALL", vmmcall())
}

/// SYSCALL from user mode.
pub(super) fn system_call() -> Answer {
    let run = || {
        let mut lab = Lab::new(syscalls())?;
        lab.ram.write(USER_CODE, user_syscall());
        Ok::<_, HostError>(lab.run())
    };
    match run() {
        Err(error) => error.into(),
        Ok(Did::Done) => good("it arrives in kernel mode", "system calls work"),
        Ok(did) => answer(
            Grade::Bad,
            format!("it does not arrive in kernel mode: {did}"),
            "no operating system runs",
            &[Blocks::Linux],
        ),
    }
}

/// Single steps.
pub(super) fn single_step() -> Answer {
    let run = || {
        let mut lab = Lab::new(two_steps())?;
        let debug = kvm_guest_debug {
            control: KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP,
            ..Default::default()
        };
        lab.fd
            .set_guest_debug(&debug)
            .map_err(HostError::call("single-step"))?;
        let start = lab.register(|regs| regs.rip);
        lab.run();
        let first = lab.register(|regs| regs.rip);
        lab.run();
        Ok::<_, HostError>((first - start, lab.register(|regs| regs.rip) - start))
    };
    match run() {
        Err(error) => error.into(),
        Ok((1, 2)) => good(
            "one instruction at a time",
            "the last steps of a preemption would be exact",
        ),
        Ok((first, second)) => limited(
            format!("it stops {first} and {second} bytes further"),
            "there is no way to stop at an exact instruction",
        ),
    }
}
