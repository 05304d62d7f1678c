//! What Intel processors (Sapphire and Emerald Rapids) were seen to do in cases in which processors of
//! different makes differ: of each form that was found, a case, and the values in which the makes did. The
//! emulated processor has to do the same on every host.

use iced_x86::Code;

use crate::builder::{self, RCX, RDI, RSI, RSP};
use crate::emulated::Emulated;
use crate::layout::WINDOW;
use crate::state::Outcome;
use crate::values;

/// A value of an outcome that was seen.
#[derive(Debug, Clone, Copy)]
enum Seen {
    Vector(u8),
    Error(u64),
    FaultAddress(u64),
    Rip(u64),
    Rflags(u64),
    /// A general register by its number.
    Register(usize, u64),
    /// The segment register that the case is about.
    Selector(u16),
    FsBase(u64),
    GsBase(u64),
    Status(u16),
    /// The significand of ST(0), and its sign and exponent.
    Top(u64, u16),
    /// The low half of an XMM register.
    Low(usize, u64),
    /// A byte of memory: address and value.
    Byte(u64, u8),
}

use Seen::*;

/// The seed of the cases.
const SEED: u64 = 1;

/// The form, the number of the case, its bytes (by which a change of the generator would be noticed),
/// and what was seen.
#[rustfmt::skip]
const CASES: &[(Code, u64, &[u8], &[Seen])] = &[
    // push es
    (Code::Pushd_ES, 0, &[0x06], &[Byte(0x100017c6, 0xd0)]),
    // push cs
    (Code::Pushd_CS, 0, &[0x0e], &[Byte(0x10001ff8, 0x69)]),
    // push ss
    (Code::Pushd_SS, 0, &[0x16], &[Byte(0x10000ac6, 0x6a)]),
    // push ds
    (Code::Pushd_DS, 0, &[0x1e], &[Byte(0x10001736, 0x78)]),
    // pop ds
    (Code::Popd_DS, 47, &[0x1f],
        &[Vector(0x3), Error(0x0), FaultAddress(0x0), Rip(0x10100ff5), Rflags(0x257),
            Register(RSP, 0x10002001), Selector(0x0)]),
    // bound sp,dword ptr es:[ecx+ecx*4+0FF2F1DAh]
    (Code::Bound_r16_m1616, 3, &[0x26, 0x66, 0x62, 0xa4, 0x89, 0xda, 0xf1, 0xf2, 0x0f],
        &[Vector(0x5), Error(0x0), FaultAddress(0x0)]),
    // rep movsb [rdi],[rsi]
    (Code::Movsb_m8_m8, 50, &[0xf3, 0xa4], &[Rflags(0x10b97)]),
    // rep movsw [edi],[esi]
    (Code::Movsw_m16_m16, 3, &[0x66, 0x67, 0xf3, 0xa5],
        &[Register(RCX, 0x3), Register(RSI, 0x10000286), Register(RDI, 0x10001fff)]),
    // repne cmpsw [esi],[edi]
    (Code::Cmpsw_m16_m16, 18, &[0x66, 0x67, 0xf2, 0xa7], &[Register(RCX, 0x0)]),
    // repe cmpsq [rsi],[rdi]
    (Code::Cmpsq_m64_m64, 57, &[0xf3, 0x48, 0xa7], &[Rflags(0x10353)]),
    // rep stosb [rdi]
    (Code::Stosb_m8_AL, 1, &[0xf3, 0xaa], &[Rflags(0x103d7)]),
    // rep stosw [rdi]
    (Code::Stosw_m16_AX, 34, &[0x66, 0xf3, 0xab], &[Rflags(0x210717)]),
    // rep stosd [rdi]
    (Code::Stosd_m32_EAX, 23, &[0xf3, 0xab], &[Rflags(0x10317)]),
    // rep lodsb [esi]
    (Code::Lodsb_AL_m8, 59, &[0x67, 0xf3, 0xac], &[Register(RCX, 0x0)]),
    // rep lodsw [esi]
    (Code::Lodsw_AX_m16, 2, &[0x66, 0x67, 0xf3, 0xad], &[Register(RCX, 0x0)]),
    // rep lodsd [rsi]
    (Code::Lodsd_EAX_m32, 43, &[0xf3, 0xad], &[Rflags(0x10352)]),
    // repe scasw [rdi]
    (Code::Scasw_AX_m16, 7, &[0x66, 0xf3, 0xaf], &[Rflags(0x10302)]),
    // repe scasd [edi]
    (Code::Scasd_EAX_m32, 40, &[0x36, 0x67, 0xf3, 0xaf], &[Rflags(0x10a03)]),
    // repe scasq [rdi]
    (Code::Scasq_RAX_m64, 7, &[0x2e, 0xf3, 0x48, 0xaf], &[Rflags(0x10a56)]),
    // fsin
    (Code::Fsin, 12, &[0xd9, 0xfe], &[Status(0x81a2), Top(0x8000000000000000, 0x1)]),
    // fst qword ptr gs:[rdi-55h],st
    (Code::Fst_m64fp, 14, &[0x65, 0xdd, 0x57, 0xab],
        &[Vector(0x3), Error(0x0), FaultAddress(0x0), Rip(0x10101719), Rflags(0xa86), Status(0xb0e1)]),
    // fstp qword ptr [r8+rbx*8-1F795D26h],st
    (Code::Fstp_m64fp, 40, &[0x41, 0xdd, 0x9c, 0xd8, 0xda, 0xa2, 0x86, 0xe0],
        &[Vector(0x3), Error(0x0), FaultAddress(0x0), Rip(0x10101d54), Rflags(0x207), Status(0xf1c1)]),
    // fisttp word ptr [rbx+r8],st
    (Code::Fisttp_m16int, 23, &[0x42, 0xdf, 0x0c, 0x03],
        &[Vector(0x3), Error(0x0), FaultAddress(0x0), Rip(0x10101462), Rflags(0xa07), Status(0xa481)]),
    // fbstp tbyte ptr [r13+rsi-57DCB22Dh],st
    (Code::Fbstp_m80bcd, 12, &[0x41, 0xdf, 0xb4, 0x35, 0xd3, 0x4d, 0x23, 0xa8],
        &[Vector(0x3), Error(0x0), FaultAddress(0x0), Rip(0x10100421), Rflags(0x212), Status(0xfc81)]),
    // call r9
    (Code::Call_rm64, 30, &[0x4d, 0xff, 0xd1], &[Byte(0x10000a40, 0x6b)]),
    // push fs
    (Code::Pushd_FS, 0, &[0x0f, 0xa0], &[Byte(0x10001ff1, 0xde)]),
    // pop fs
    (Code::Popd_FS, 32, &[0x0f, 0xa1],
        &[Vector(0x3), Rip(0x10101743), Rflags(0x40a47), Register(RSP, 0x1000000a), FsBase(0x0),
            Selector(0x2b)]),
    // pop fs
    (Code::Popq_FS, 33, &[0x4e, 0x0f, 0xa1],
        &[Vector(0x3), Error(0x0), FaultAddress(0x0), Rip(0x101015c9), Rflags(0xed2),
            Register(RSP, 0x10002002), FsBase(0x0), Selector(0x33)]),
    // push gs
    (Code::Pushd_GS, 0, &[0x0f, 0xa8], &[Byte(0x10000c66, 0xf7)]),
    // pop gs
    (Code::Popq_GS, 3, &[0x0f, 0xa9],
        &[Vector(0x3), Error(0x0), FaultAddress(0x0), Rip(0x101006c5), Rflags(0x212),
            Register(RSP, 0x10002005), GsBase(0x0), Selector(0x2b)]),
    // dpps xmm3,xmm9,0F9h
    (Code::Dpps_xmm_xmmm128_imm8, 9, &[0x66, 0x41, 0x0f, 0x3a, 0x40, 0xd9, 0xf9], &[Low(3, 0x7ff19c3d)]),
    // rep movsw [edi],[esi]
    (Code::Movsw_m16_m16, 106, &[0x66, 0x67, 0xf3, 0xa5],
        &[Register(RCX, 0x0), Register(RSI, 0x10001ffe), Register(RDI, 0x10001fff)]),
    // rep stosd [edi]
    (Code::Stosd_m32_EAX, 88, &[0x67, 0xf3, 0xab], &[Register(RDI, 0x1000031c)]),
    // rep lodsw [esi]
    (Code::Lodsw_AX_m16, 261, &[0x66, 0x67, 0xf3, 0xad], &[Register(RSI, 0x6f05fa7d10001fff)]),
    // repe scasd [edi]
    (Code::Scasd_EAX_m32, 58, &[0x67, 0xf3, 0xaf], &[Register(RDI, 0xbd8227cd10001ffd)]),
    // iretd
    (Code::Iretd, 45, &[0xcf], &[Vector(0xd), Error(0x34), FaultAddress(0x0)]),
];

/// Whether the outcome has the value.
fn has(outcome: &Outcome, form: Code, seen: Seen) -> bool {
    let regs = &outcome.regs;
    match seen {
        Vector(vector) => outcome.vector == vector,
        Error(error) => outcome.error == error,
        FaultAddress(address) => outcome.cr2 == address,
        Rip(rip) => regs.rip == rip,
        Rflags(rflags) => regs.rflags == rflags,
        Register(number, value) => regs.gpr[number] == value,
        Selector(selector) => {
            let loaded = match form {
                Code::Popd_DS => regs.selectors.ds,
                Code::Popd_FS | Code::Popq_FS => regs.selectors.fs,
                _ => regs.selectors.gs,
            };
            loaded == selector
        }
        FsBase(base) => regs.fs_base == base,
        GsBase(base) => regs.gs_base == base,
        Status(status) => regs.fp.status == status,
        Top(mantissa, top) => regs.fp.st[0] == (mantissa, top),
        Low(number, value) => regs.fp.xmm[number][0] == value,
        Byte(address, value) => outcome.window[(address - WINDOW) as usize] == value,
    }
}

#[test]
fn the_emulated_processor_does_what_intel_processors_were_seen_to_do() {
    let mut emulated = Emulated::new();
    let background = values::background();
    for compiled in [0, 1] {
        emulated.compile_after(compiled);
        for (form, index, bytes, seen) in CASES {
            let case = builder::generate(*form, SEED, *index).expect("the form can be made");
            assert_eq!(case.bytes, *bytes, "{form:?}: another case");
            let outcome = emulated.run(&case, &background).expect("it ends");
            for value in *seen {
                assert!(has(&outcome, *form, *value), "{form:?}: not {value:x?}");
            }
        }
    }
}
