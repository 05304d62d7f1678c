//! The code of SSE instructions: moves, and what the host's instruction does to whole registers.

use dynasmrt::DynasmApi;
use iced_x86::{Instruction, Mnemonic, OpKind};

use super::decoded::Place;
use super::emit::{Access, Emitter, RAX, RCX, asm};
use super::field;
use crate::op::Op;

/// What the host does with two registers, bit for bit as the guest's processor does: an instruction that
/// is encoded as 66 0F and this.
#[derive(Clone, Copy)]
pub(super) struct XmmOp {
    opcode: u8,
    /// For XMM0 and XMM1.
    modrm: u8,
    immediate: Option<u8>,
}

impl XmmOp {
    /// The integer and bitwise instructions of SSE2.
    pub(super) fn of(ins: &Instruction) -> Option<Self> {
        use Mnemonic::*;
        // Those without the prefix that are the same with it.
        let bitwise = matches!(ins.mnemonic(), Xorps | Andps | Orps | Andnps);
        let integer = matches!(
            ins.mnemonic(),
            Xorpd
                | Andpd
                | Orpd
                | Andnpd
                | Pxor
                | Pand
                | Por
                | Pandn
                | Pcmpeqb
                | Pcmpeqw
                | Pcmpeqd
                | Pcmpgtb
                | Pcmpgtw
                | Pcmpgtd
                | Punpcklbw
                | Punpcklwd
                | Punpckldq
                | Punpcklqdq
                | Punpckhbw
                | Punpckhwd
                | Punpckhdq
                | Punpckhqdq
                | Paddb
                | Paddw
                | Paddd
                | Paddq
                | Psubb
                | Psubw
                | Psubd
                | Psubq
                | Pminub
                | Pmaxub
                | Pmuludq
                | Pshufd
        );
        let shift = ins.op1_kind() == OpKind::Immediate8
            && matches!(
                ins.mnemonic(),
                Psllw | Pslld | Psllq | Psrlw | Psrld | Psrlq | Psraw | Psrad | Pslldq | Psrldq
            );
        if !(bitwise || integer || shift) {
            return None;
        }
        let code = ins.code().op_code();
        let group = code.group_index();
        let last = ins.op_count() - 1;
        Some(Self {
            opcode: code.op_code() as u8,
            modrm: if shift {
                0xc0 | (group as u8) << 3
            } else {
                0xc1
            },
            immediate: (ins.op_kind(last) == OpKind::Immediate8).then(|| ins.immediate8()),
        })
    }
}

impl Emitter<'_> {
    pub(super) fn xmm_move(&mut self, index: usize) {
        let op = self.ops[index];
        let (dst, src) = (field::xmm(op.dst), field::xmm(op.src));
        self.call_or_hand_over(index, self.stubs.sse);
        asm!(self, movups xmm0, [rdi + src]; movups [rdi + dst], xmm0);
    }

    pub(super) fn xmm_load(&mut self, index: usize) {
        let op = self.ops[index];
        self.address(&op, true);
        let stub = self.stubs.read_xmm[usize::from(op.aux != 0)];
        self.call_or_hand_over(index, stub);
        let dst = field::xmm(op.dst);
        asm!(self, movups xmm0, [rax]; movups [rdi + dst], xmm0);
    }

    pub(super) fn xmm_store(&mut self, index: usize) {
        let op = self.ops[index];
        self.address(&op, true);
        let stub = self.stubs.write_xmm[usize::from(op.aux != 0)];
        self.call_or_hand_over(index, stub);
        let src = field::xmm(op.dst);
        asm!(self, movups xmm0, [rdi + src]; movups [rax], xmm0);
    }

    pub(super) fn xmm_memory(&mut self, index: usize, kind: XmmOp, dst: u8, operand: &Op) {
        self.address(operand, true);
        // All of these want their operand aligned.
        let stub = self.stubs.read_xmm[1];
        self.call_or_hand_over(index, stub);
        let dst = field::xmm(dst);
        asm!(self, movups xmm0, [rdi + dst]; movups xmm1, [rax]);
        self.apply(kind);
        asm!(self, movups[rdi + dst], xmm0);
    }

    pub(super) fn xmm_mask(&mut self, index: usize, dst: u8, src: u8) {
        self.call_or_hand_over(index, self.stubs.sse);
        let src = field::xmm(src);
        asm!(self, movups xmm0, [rdi + src]; pmovmskb eax, xmm0);
        self.put(dst, RAX, 8);
    }

    pub(super) fn xmm(&mut self, index: usize, kind: XmmOp, dst: u8, src: u8) {
        let (dst, src) = (field::xmm(dst), field::xmm(src));
        self.call_or_hand_over(index, self.stubs.sse);
        asm!(self, movups xmm0, [rdi + dst]; movups xmm1, [rdi + src]);
        self.apply(kind);
        asm!(self, movups[rdi + dst], xmm0);
    }

    /// XMM0 = XMM0 op XMM1.
    fn apply(&mut self, kind: XmmOp) {
        self.asm.extend(&[0x66, 0x0f, kind.opcode, kind.modrm]);
        self.asm.extend(kind.immediate.as_slice());
    }

    pub(super) fn xmm_set(&mut self, index: usize, dst: u8, from: Place, size: u64) {
        self.call_or_hand_over(index, self.stubs.sse);
        self.fetch(index, RAX, from, size);
        let dst = field::xmm(dst);
        asm!(self, mov QWORD [rdi + dst], rax; mov QWORD [rdi + dst + 8], 0);
    }

    pub(super) fn xmm_insert(&mut self, index: usize, (dst, at): (u8, u8), from: Place, size: u64) {
        self.call_or_hand_over(index, self.stubs.sse);
        self.fetch(index, RAX, from, size);
        let dst = field::xmm(dst) + i32::from(at);
        match size {
            2 => asm!(self, mov WORD [rdi + dst], ax),
            4 => asm!(self, mov DWORD [rdi + dst], eax),
            _ => asm!(self, mov QWORD [rdi + dst], rax),
        }
    }

    pub(super) fn xmm_get(&mut self, index: usize, to: Place, (src, at): (u8, u8), size: u64) {
        let src = field::xmm(src) + i32::from(at);
        self.call_or_hand_over(index, self.stubs.sse);
        if let Place::Memory(op) = to {
            self.address(&op, true);
            self.translate(index, Access::Write, size);
        }
        match size {
            4 => asm!(self, mov ecx, DWORD [rdi + src]),
            _ => asm!(self, mov rcx, QWORD [rdi + src]),
        }
        match to {
            Place::Register(register) => self.put(register, RCX, 8),
            Place::Memory(_) => self.write(RCX, size),
        }
    }
}
