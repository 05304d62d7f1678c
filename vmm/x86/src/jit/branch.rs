//! The code of what ends a block.

use dynasmrt::{DynamicLabel, DynasmApi, DynasmLabelApi};

use super::binary::Second;
use super::emit::{Access, Emitter, Exit, JA, JE, JMP, RAX, Tail, Way, asm};
use super::select::Act;
use super::{Lead, Site};
use crate::lower::Form;
use crate::memory::PAGE_SIZE;

impl Emitter<'_> {
    /// Emits the code of the block's last operation.
    pub(super) fn terminator(&mut self, index: usize, act: Act) {
        let op = self.ops[index];
        match act {
            Act::End => self.go(JMP, op.imm as i32, 0),
            Act::Branch { code } => match self.condition(code) {
                Some(code) => self.decide(index, code),
                None => self.leave_to_handler(index),
            },
            Act::CompareBranch {
                op: kind,
                form,
                size,
                code,
            } => {
                let second = match form {
                    Form::RR => Second::Register(op.src),
                    _ => Second::Constant(op.fused_imm()),
                };
                self.with_register(kind, op.dst, second, size, true);
                self.decide(index, code);
            }
            Act::Jump => self.go(JMP, op.imm as i32, 1),
            Act::Call => {
                let landing = self.call_from(index);
                self.go(JMP, op.imm as i32, 1);
                self.land(index, landing);
            }
            Act::Return if op.imm == 0 => {
                let ret = self.stubs.ret;
                self.call_or_hand_over(index, ret);
            }
            Act::JumpTo { memory } => {
                self.target(index, memory);
                let transfer = self.stubs.transfer_to;
                asm!(self, call extern transfer);
                self.arrive(1, Lead::Anywhere);
            }
            Act::CallTo { memory } => {
                self.target(index, memory);
                asm!(self, mov r11, rax);
                let landing = self.call_from(index);
                let transfer = self.stubs.transfer_to;
                asm!(self, mov rax, r11; call extern transfer);
                self.arrive(1, Lead::Anywhere);
                self.land(index, landing);
            }
            _ => self.leave_to_handler(index),
        }
    }

    /// RAX becomes the target of an indirect branch; one that is not canonical is left to the handler.
    /// Changes RCX.
    fn target(&mut self, index: usize, memory: bool) {
        if memory {
            self.locate(index, Access::Read, 8);
            self.read(RAX, 8);
        } else {
            self.get(RAX, self.ops[index].src, 8);
        }
        asm!(self, mov rcx, rax; sar rcx, BYTE 47; inc rcx; cmp rcx, BYTE 1);
        self.jump(JA, Tail::Handler(index));
    }

    /// Pushes the address behind the operation. The result is where a return is to jump to.
    fn call_from(&mut self, index: usize) -> DynamicLabel {
        let op = self.ops[index];
        let behind = i32::from(op.at) + i32::from(op.len);
        let landing = self.asm.new_dynamic_label();
        let behind = self.subject.place as i32 + behind;
        asm!(self, mov ecx, DWORD behind; lea rdx, [=>landing]);
        self.call_or_hand_over(index, self.stubs.call);
        landing
    }

    /// Where returns to behind the block's call arrive.
    fn land(&mut self, index: usize, landing: DynamicLabel) {
        let op = self.ops[index];
        let behind = i32::from(op.at) + i32::from(op.len);
        let lead = if self.in_page(behind) {
            Lead::Place(self.subject.place + behind as u32)
        } else {
            // The next page may be anywhere.
            Lead::Behind(self.subject.place / PAGE_SIZE as u32)
        };
        asm!(self, =>landing);
        self.arrive(0, lead);
    }

    /// Goes on at RAX, whose place is in RCX. The first jump is taken if that is the one that it was aimed
    /// at.
    fn arrive(&mut self, link: usize, lead: Lead) {
        let exit = self.exits.len();
        // CMP ECX with a constant of 32 bits: no place is longer.
        self.asm.extend(&[0x81, 0xf9]);
        self.asm.push_i32(-1);
        let offset = self.here();
        self.jump(JE, Tail::Link(exit));
        self.exit(Way::Far, link, lead, Some(offset));
        self.jump(JMP, Tail::Link(exit));
    }

    /// The jump that was emitted last leads to another block.
    fn exit(&mut self, way: Way, link: usize, lead: Lead, offset: Option<usize>) {
        self.exits.push(Exit {
            site: Box::new(Site::new(self.subject.number, link, lead)),
            way,
            jump: self.here(),
            offset,
        });
    }

    /// Goes on at the operation's target if the host's condition `code` holds, else behind it.
    fn decide(&mut self, index: usize, code: u8) {
        let op = self.ops[index];
        let taken = op.imm as i32;
        if self.in_page(taken) {
            self.go(&[0x0f, 0x80 | code], taken, 1);
            self.go(JMP, op.disp, 0);
            return;
        }
        // Over the way to the other page, which is not in reach of a jump that is aimed by itself.
        self.asm.extend(&[0x0f, 0x80 | code ^ 1]);
        self.asm.push_i32(0);
        let over = self.here();
        self.go(JMP, taken, 1);
        let here = self.here();
        self.patches.push((over, here));
        self.go(JMP, op.disp, 0);
    }

    /// Whether an offset from the block's start is in the block's page.
    fn in_page(&self, delta: i32) -> bool {
        let position = u64::from(self.subject.place) & (PAGE_SIZE - 1);
        position.wrapping_add(delta as u64) < PAGE_SIZE
    }

    /// Goes on `delta` bytes from the start of the block, in the same page by a jump with the operation code
    /// `jump`, in another in any case.
    fn go(&mut self, jump: &[u8], delta: i32, link: usize) {
        if self.in_page(delta) {
            let target = self.subject.place.wrapping_add_signed(delta);
            self.jump(jump, Tail::Link(self.exits.len()));
            self.exit(Way::Near, link, Lead::Place(target), None);
        } else {
            let transfer = self.stubs.transfer;
            self.constant(
                RAX,
                i64::from(self.subject.place).wrapping_add(delta.into()) as u64,
            );
            asm!(self, call extern transfer);
            self.arrive(link, Lead::Anywhere);
        }
    }

    /// Leaves it to the handler.
    pub(super) fn leave_to_handler(&mut self, index: usize) {
        self.jump(JMP, Tail::Handler(index));
    }
}
