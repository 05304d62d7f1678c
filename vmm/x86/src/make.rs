//! The make of the processor that a test compares with, and what is known of makes that differ.
//!
//! The emulated processor does what Intel's do, as its CPUID says. Where another make is known to do
//! otherwise, a test does not look away: it expects exactly what that make does. Each of these places is a
//! [`Departure`], and a test tells at its end which of them it met and how often.

use std::collections::BTreeMap;
use std::io::Write as _;

/// A make of processors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Make {
    /// Intel, or another that nothing else is known of: it is expected to do what Intel's do.
    Intel,
    /// AMD, and Hygon, whose processors are AMD's.
    Amd,
}

/// The make of this host's processor.
pub(crate) fn host() -> Make {
    match vendor().as_str() {
        "AuthenticAMD" | "HygonGenuine" => Make::Amd,
        _ => Make::Intel,
    }
}

fn vendor() -> String {
    let leaf = core::arch::x86_64::__cpuid(0);
    let bytes = [leaf.ebx, leaf.edx, leaf.ecx]
        .map(u32::to_le_bytes)
        .concat();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Says past the harness, which shows nothing of tests that pass, which processor a test compares with.
pub(crate) fn announce() {
    let signature = core::arch::x86_64::__cpuid(1).eax;
    let test = std::thread::current();
    let _ = writeln!(
        std::io::stderr(),
        "{}: compared with {} (signature {signature:#x}), expected to be {:?}'s",
        test.name().unwrap_or_default(),
        vendor(),
        host(),
    );
}

/// Something that another make's processors do otherwise than Intel's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[allow(dead_code, reason = "no test binary meets all of them")]
pub(crate) enum Departure {
    /// PUSH of a segment register with an operand size of 32 bits.
    PushedSelector,
    /// POP of a segment register.
    PoppedSelector,
    /// BOUND with an index below the lower bound and an upper bound that cannot be read.
    Bounds,
    /// A trap between two iterations of a repeated instruction.
    TrapInRepetition,
    /// The flags between two iterations of a repeated comparison.
    FlagsInRepetition,
    /// A repeated instruction with 32-bit addresses that ends before its first iteration.
    NarrowRepetition,
    /// FSIN and FSINCOS of the least normal number, rounded towards zero.
    SineOfLeastNormal,
    /// A store of the x87 unit that has an unmasked exception and an operand that cannot be written.
    SuppressedStore,
    /// CALL of an address that is not canonical.
    CalledNowhere,
    /// IRET with a bad code segment and a stack whose end cannot be read.
    ReturnedStack,
    /// DPPS and DPPD of several NaNs.
    DotProduct,
    /// FSCALE of a denormal by zero with an unmasked underflow.
    ScaledByZero,
    /// FCOMI and its kind with an unmasked invalid operation.
    ComparedToFlags,
    /// MOVSXD with an operand size of 16 bits.
    SignExtendedWord,
    /// UD0 and UD1 whose operand cannot be fetched.
    UndefinedOperand,
    /// Far pointers with an offset of 64 bits.
    FarPointer,
    /// The no-operations that are reserved for hints.
    ReservedHints,
}

impl Departure {
    /// What Intel's processors do, and what AMD's do instead, which is what tests expect of those.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::PushedSelector => {
                "Intel's processors write 16 bits of the slot (SDM vol. 2, PUSH), AMD's all 32, zero-extended"
            }
            Self::PoppedSelector => {
                "Intel's processors read 16 bits of the slot, AMD's all of it, so that its end may fault"
            }
            Self::Bounds => {
                "Intel's processors raise #BR without reading the upper bound, AMD's read both bounds first"
            }
            Self::TrapInRepetition => {
                "Intel's processors save RF as one (SDM vol. 3, 18.3.1.1), AMD's leave it alone"
            }
            Self::FlagsInRepetition => {
                "Intel's processors show the flags from before the instruction (SDM \
                 vol. 2, REP), AMD's those of the last comparison"
            }
            Self::NarrowRepetition => {
                "Intel's processors clear the upper halves of RCX and, but for some, of RSI and RDI; AMD's \
                 leave the registers alone"
            }
            Self::SineOfLeastNormal => {
                "Intel's processors give the argument itself, AMD's the number below it, which underflows"
            }
            Self::SuppressedStore => {
                "Intel's processors find the exception first and store nothing, AMD's check the operand first"
            }
            Self::CalledNowhere => {
                "Intel's processors have written the return address when they raise #GP, AMD's have not"
            }
            Self::ReturnedStack => {
                "Intel's processors check the code segment before they read the rest (SDM vol. 2, IRET), \
                 AMD's read it first"
            }
            Self::DotProduct => {
                "a sum of two NaNs is the first one, and Intel's processors add whole vectors, AMD's lanes \
                 in ascending order"
            }
            Self::ScaledByZero => {
                "Intel's processors leave the operand, AMD's give it with the exponent of an underflow"
            }
            Self::ComparedToFlags => {
                "Intel's processors leave ZF, PF and CF, AMD's set them as for operands that are not ordered"
            }
            Self::SignExtendedWord => {
                "Intel's processors read 16 bits (SDM vol. 2, MOVSXD), AMD's 32, of which they use 16"
            }
            Self::UndefinedOperand => {
                "Intel's processors decode the operand (SDM vol. 2, UD), AMD's raise #UD without it"
            }
            Self::FarPointer => "AMD's processors ignore REX.W in front of them",
            Self::ReservedHints => {
                "AMD's processors do not have all of them, and decode some as others"
            }
        }
    }
}

/// How often a test met which departure of the host's make.
#[derive(Debug, Default)]
pub(crate) struct Met(BTreeMap<Departure, u64>);

impl Met {
    /// Counts a case in which the host's make is expected to do otherwise.
    pub(crate) fn note(&mut self, departure: Departure) {
        *self.0.entry(departure).or_default() += 1;
    }

    /// A line for each departure.
    pub(crate) fn text(&self) -> String {
        let line = |(departure, count): (&Departure, &u64)| {
            format!("    {departure:?}, {count} times: {}\n", departure.reason())
        };
        self.0.iter().map(line).collect()
    }
}
