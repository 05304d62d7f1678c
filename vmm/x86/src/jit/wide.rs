//! The code of SSE instructions on whole registers.

use dynasmrt::DynasmApi;

use super::emit::{Emitter, RAX, asm};
use super::field;
use crate::op::Op;

/// What the host does with two registers, bit for bit as the guest's processor does.
#[derive(Clone, Copy)]
pub(super) enum Wide {
    Xor,
    And,
    Or,
    EqualBytes,
    UnpackLow,
}

impl Emitter<'_> {
    pub(super) fn wide_move(&mut self, index: usize) {
        let op = self.ops[index];
        let (dst, src) = (field::xmm(op.dst), field::xmm(op.src));
        self.call_or_hand_over(index, self.stubs.sse);
        asm!(self, movups xmm0, [rdi + src]; movups [rdi + dst], xmm0);
    }

    pub(super) fn wide_load(&mut self, index: usize) {
        let op = self.ops[index];
        self.address(&op, true);
        let stub = self.stubs.read_wide[usize::from(op.aux != 0)];
        self.call_or_hand_over(index, stub);
        let dst = field::xmm(op.dst);
        asm!(self, movups xmm0, [rax]; movups [rdi + dst], xmm0);
    }

    pub(super) fn wide_store(&mut self, index: usize) {
        let op = self.ops[index];
        self.address(&op, true);
        let stub = self.stubs.write_wide[usize::from(op.aux != 0)];
        self.call_or_hand_over(index, stub);
        let src = field::xmm(op.dst);
        asm!(self, movups xmm0, [rdi + src]; movups [rax], xmm0);
    }

    pub(super) fn wide_memory(&mut self, index: usize, kind: Wide, dst: u8, operand: &Op) {
        self.address(operand, true);
        // All of these want their operand aligned.
        let stub = self.stubs.read_wide[1];
        self.call_or_hand_over(index, stub);
        let dst = field::xmm(dst);
        asm!(self, movups xmm0, [rdi + dst]; movups xmm1, [rax]);
        self.combine(kind);
        asm!(self, movups[rdi + dst], xmm0);
    }

    pub(super) fn wide_mask(&mut self, index: usize, dst: u8, src: u8) {
        self.call_or_hand_over(index, self.stubs.sse);
        let src = field::xmm(src);
        asm!(self, movups xmm0, [rdi + src]; pmovmskb eax, xmm0);
        self.put(dst, RAX, 8);
    }

    pub(super) fn wide(&mut self, index: usize, kind: Wide, dst: u8, src: u8) {
        let (dst, src) = (field::xmm(dst), field::xmm(src));
        self.call_or_hand_over(index, self.stubs.sse);
        asm!(self, movups xmm0, [rdi + dst]; movups xmm1, [rdi + src]);
        self.combine(kind);
        asm!(self, movups[rdi + dst], xmm0);
    }

    /// XMM0 = XMM0 op XMM1.
    fn combine(&mut self, kind: Wide) {
        match kind {
            Wide::Xor => asm!(self, pxor xmm0, xmm1),
            Wide::And => asm!(self, pand xmm0, xmm1),
            Wide::Or => asm!(self, por xmm0, xmm1),
            Wide::EqualBytes => asm!(self, pcmpeqb xmm0, xmm1),
            Wide::UnpackLow => asm!(self, punpcklqdq xmm0, xmm1),
        }
    }
}
