//! Exceptions: how an access or an instruction says that it did not happen.

use crate::cpu::{Cpu, Fault};

/// An access did not happen. In a fast body it has to be tried again in the slow body; in a slow
/// body `Cpu::fault` says what is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Raised;

/// The result of something that can raise an exception.
pub(crate) type Res<T> = Result<T, Raised>;

/// Exception vectors (Intel SDM vol. 3, table 6-1).
pub(crate) mod vector {
    pub(crate) const DE: u8 = 0;
    pub(crate) const DB: u8 = 1;
    pub(crate) const BP: u8 = 3;
    pub(crate) const OF: u8 = 4;
    pub(crate) const BR: u8 = 5;
    pub(crate) const UD: u8 = 6;
    pub(crate) const NM: u8 = 7;
    pub(crate) const DF: u8 = 8;
    pub(crate) const TS: u8 = 10;
    pub(crate) const NP: u8 = 11;
    pub(crate) const SS: u8 = 12;
    pub(crate) const GP: u8 = 13;
    pub(crate) const PF: u8 = 14;
    pub(crate) const MF: u8 = 16;
    pub(crate) const AC: u8 = 17;
    pub(crate) const XM: u8 = 19;
}

impl Cpu {
    /// Says that a non-canonical address was the stack's.
    #[cold]
    pub(crate) fn blame_stack(&mut self) {
        if self.fault == Fault::NotCanonical {
            self.fault = Fault::Exception {
                vector: vector::SS,
                error: Some(0),
            };
        }
    }

    /// Raises an exception without an error code.
    #[cold]
    pub(crate) fn raise(&mut self, vector: u8) -> Raised {
        self.fault = Fault::Exception {
            vector,
            error: None,
        };
        Raised
    }

    /// Raises an exception with an error code.
    #[cold]
    pub(crate) fn raise_error(&mut self, vector: u8, error: u32) -> Raised {
        self.fault = Fault::Exception {
            vector,
            error: Some(error),
        };
        Raised
    }

    /// Raises #GP(0).
    #[cold]
    pub(crate) fn raise_gp(&mut self) -> Raised {
        self.raise_error(vector::GP, 0)
    }

    /// Ends the run because the CPU lacks something that the guest needs.
    #[cold]
    pub(crate) fn raise_unimplemented(&mut self, what: impl Into<String>) -> Raised {
        self.fault = Fault::Unimplemented(what.into());
        Raised
    }
}
