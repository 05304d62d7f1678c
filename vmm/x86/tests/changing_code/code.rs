//! The functions of a guest that changes its code.

use iced_x86::IcedError;
use iced_x86::code_asm::*;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::Rng;

use crate::harness::program::Program;
use crate::layout::*;

type Done = Result<(), IcedError>;

/// Makes functions.
pub struct Writer {
    pub random: ChaCha8Rng,
}

/// The page that functions are assembled for: they are the same in any other.
const PAGE: u64 = PAGES + 0x4000;

impl Writer {
    pub fn below(&mut self, end: u64) -> u64 {
        self.random.next_u64() % end
    }

    fn register(&mut self) -> AsmRegister64 {
        [rax, rcx, rdx, rbx, rsi, rdi, rbp, r8, r9, r10, r11, r12][self.below(12) as usize]
    }

    /// Where a page is mapped: itself, or in one of the regions.
    pub fn page(&mut self) -> u64 {
        match self.below(REGIONS + 1) {
            REGIONS => PAGES + self.below(COUNT) * 0x1000,
            region => ALIASES + region * REGION + self.below(MAPPED - 2) * 0x1000,
        }
    }

    /// A form of the function of a level.
    pub fn function(&mut self, level: usize) -> Vec<u8> {
        loop {
            let (position, size) = SLOTS[level];
            let bytes = match level {
                LAST => self.last(),
                FIRST => self.first(),
                PLAIN => self.plain(),
                FILLING if self.below(2) == 0 => self.in_front_of_a_string(PAGE + position),
                _ => self.assemble(PAGE + position, |g, a| {
                    let pieces = 1 + g.below(5);
                    g.body(a, level, pieces)?;
                    a.ret()
                }),
            };
            if bytes.len() as u64 <= size {
                return bytes;
            }
        }
    }

    fn assemble(
        &mut self,
        base: u64,
        write: impl FnOnce(&mut Self, &mut CodeAssembler) -> Done,
    ) -> Vec<u8> {
        Program::new(base, 64, |a| write(self, a)).bytes
    }

    /// A function that does the same in compatibility mode.
    fn plain(&mut self) -> Vec<u8> {
        let mut code = Vec::new();
        for _ in 0..1 + self.below(12) {
            // Not ESP.
            let to = [0, 1, 2, 3, 6, 7][self.below(6) as usize];
            let from = [0, 1, 2, 3, 6, 7][self.below(6) as usize];
            let value = self.below(256) as u8;
            match self.below(7) {
                0 => code.extend([0xff, 0xc0 | to]),
                1 => code.extend([0x83, 0xc0 | to, value]),
                2 => code.extend([0x01, 0xc0 | from << 3 | to]),
                3 => code.extend([0x31, 0xc0 | from << 3 | to]),
                4 => code.extend([0xc1, 0xc0 | to, value]),
                5 => code.extend([0x0f, 0xaf, 0xc0 | to << 3 | from]),
                _ => code.extend([0x70 | value & 15, 1, 0x90]),
            }
        }
        code.push(0xc3);
        code
    }

    /// A block that ends in front of a repeated string instruction, at the end of a line of 64 bytes,
    /// and at times makes that two others or the other way round.
    fn in_front_of_a_string(&mut self, base: u64) -> Vec<u8> {
        let bit = 1 << self.below(30);
        let program = |pad: u64| {
            Program::new(base, 64, |a| {
                let (mut line, mut skip) = (a.create_label(), a.create_label());
                a.lea(rdi, ptr(r14 + 0x200))?;
                a.mov(ecx, 5)?;
                a.test(r13d, bit)?;
                a.jne(skip)?;
                a.lea(rax, ptr(line))?;
                // From REP STOSB to two NOPs and back.
                a.xor(word_ptr(rax), 0x3a63)?;
                a.set_label(&mut skip)?;
                a.mov(eax, 1)?;
                for _ in 0..pad {
                    a.nop()?;
                }
                a.set_label(&mut line)?;
                a.rep().stosb()?;
                a.inc(rbx)?;
                a.ret()
            })
        };
        let pad = base + 0x40 - program(0).at(7);
        let program = program(pad);
        assert_eq!(program.at(7 + pad as usize), base + 0x40);
        program.bytes
    }

    /// A function in a page of page tables, which accesses what these are of, so that its page changes.
    pub fn beside_table(&mut self) -> Vec<u8> {
        self.assemble(BESIDE_TABLE, |g, a| {
            a.mov(rbp, rsp)?;
            for _ in 0..2 + g.below(4) {
                let region = ALIASES + g.below(REGIONS) * REGION;
                let at = region + g.below(MAPPED) * 0x1000 + DATA_IN_PAGE + 8 * g.below(4);
                a.mov(rdi, at)?;
                match g.below(3) {
                    0 => a.add(rbx, qword_ptr(rdi))?,
                    1 => a.inc(qword_ptr(rdi))?,
                    _ => a.push(qword_ptr(rdi))?,
                }
                a.imul_3(rcx, rbx, 3)?;
            }
            a.mov(rax, g.page() + SLOTS[PLAIN].0)?;
            a.lea(rsp, ptr(rbp))?;
            a.call(rax)?;
            a.ret()
        })
    }

    /// What is at the start of a page: comes here from the page in front of it, too, in the middle of an
    /// instruction perhaps.
    fn first(&mut self) -> Vec<u8> {
        let mut code = match self.below(4) {
            // Any byte of these may be the first.
            0 | 1 => (0..5)
                .map(|_| [0x90, 0xf8, 0xf9, 0xf5, 0x98, 0x99][self.below(6) as usize])
                .collect(),
            // The first may be the end of a call's operand.
            2 => vec![0x00, 0xc0, 0xd1, 0xc0],
            _ => Vec::new(),
        };
        code.extend(self.assemble(PAGE + code.len() as u64, |g, a| {
            let pieces = g.below(3);
            g.body(a, FIRST, pieces)?;
            a.ret()
        }));
        code
    }

    /// What ends with its page, or does not end there.
    fn last(&mut self) -> Vec<u8> {
        let (position, size) = SLOTS[LAST];
        let end = PAGE + 0x1000;
        let tail = self.tail(end);
        let start = PAGE + position;
        let mut code = self.assemble(start, |g, a| {
            let pieces = g.below(3);
            g.body(a, LAST, pieces)?;
            a.jmp(end - tail.len() as u64)
        });
        let fill = (size as usize).saturating_sub(code.len() + tail.len());
        code.extend(std::iter::repeat_n(0x90, fill));
        code.extend(tail);
        code
    }

    fn tail(&mut self, end: u64) -> Vec<u8> {
        let kind = self.below(12);
        let callee = self.callee(LAST);
        let page = self.page();
        let mut code = self.assemble(end - 0x40, |g, a| {
            let count = g.below(3);
            g.straight(a, count)?;
            match kind {
                4 | 5 => a.mov(rax, page + callee),
                _ => Ok(()),
            }
        });
        // As far as the next page, and in this one.
        let distance = |bytes: u64| (callee as i32 - 0x1000 * (bytes as i32 & 1)).to_le_bytes();
        match kind {
            0..=3 => {
                code.push(0xe8);
                code.extend(distance(kind));
            }
            4 => code.extend([0xff, 0xd0]),
            5 => code.extend([0x41, 0x50, 0xff, 0xe0]),
            6 => {
                code.extend([0x0f, 0x80 | self.below(16) as u8]);
                code.extend(distance(1));
            }
            7 => code.push(0xc3),
            8 => code.extend([0x2e, 0x3e].iter().take(1 + self.below(2) as usize)),
            9 => {
                code.extend([0xb8, 1, 2, 3]);
                code.truncate(code.len() - self.below(4) as usize);
            }
            10 => {
                code.push(0xe8);
                code.extend(&(callee as i32 - 1).to_le_bytes()[..3]);
            }
            _ => {}
        }
        code
    }

    /// The position of a function that one of a level may call.
    fn callee(&mut self, level: usize) -> u64 {
        let least = if level >= LAST { FIRST + 1 } else { level + 1 };
        let level = least + self.below((SLOTS.len() - least) as u64) as usize;
        SLOTS[level].0
    }

    fn straight(&mut self, a: &mut CodeAssembler, count: u64) -> Done {
        for _ in 0..count {
            let (to, from) = (self.register(), self.register());
            let value = self.below(1 << 20) as i32;
            let at = 8 * self.below(64) as i32;
            match self.below(14) {
                0 => a.add(to, from)?,
                1 => a.sub(to, value)?,
                2 => a.xor(to, from)?,
                3 => a.lea(to, ptr(from + to * 2 + value))?,
                4 => a.imul_3(to, from, value)?,
                5 => a.mov(to, qword_ptr(r14 + at))?,
                6 => a.mov(qword_ptr(r14 + at), from)?,
                7 => a.add(dword_ptr(r14 + at), value)?,
                8 => a.adc(to, from)?,
                9 => a.rol(to, 1 + at as u32 % 60)?,
                10 => {
                    a.push(from)?;
                    a.pop(to)?;
                }
                11 => {
                    a.pushfq()?;
                    a.pop(to)?;
                }
                12 => a.movq(xmm0, from)?,
                _ => a.inc(to)?,
            }
        }
        Ok(())
    }

    /// Pieces of code that fall through.
    fn body(&mut self, a: &mut CodeAssembler, level: usize, pieces: u64) -> Done {
        for _ in 0..pieces {
            match self.below(16) {
                0 | 1 => self.branch(a)?,
                2 => self.around(a)?,
                3 => self.call_near(a, level)?,
                4 | 5 => self.call_anywhere(a, level)?,
                6 => self.data_of_another(a)?,
                7 => self.write_beside(a)?,
                8 => self.change_itself(a)?,
                9 => self.fill(a)?,
                10 if level < LAST => self.return_elsewhere(a)?,
                _ => {
                    let count = 1 + self.below(4);
                    self.straight(a, count)?;
                }
            }
        }
        Ok(())
    }

    fn branch(&mut self, a: &mut CodeAssembler) -> Done {
        let mut skip = a.create_label();
        let (one, other) = (self.register(), self.register());
        match self.below(3) {
            0 => {
                a.cmp(one, other)?;
                a.jb(skip)?;
            }
            1 => {
                a.test(one, 0x11)?;
                a.jne(skip)?;
            }
            _ => {
                a.lea(rax, ptr(skip))?;
                a.jmp(rax)?;
            }
        }
        let count = 1 + self.below(3);
        self.straight(a, count)?;
        a.set_label(&mut skip)?;
        a.nop()
    }

    /// A loop.
    fn around(&mut self, a: &mut CodeAssembler) -> Done {
        let mut again = a.create_label();
        a.push(1 + self.below(12) as i32)?;
        a.set_label(&mut again)?;
        let count = 1 + self.below(3);
        self.straight(a, count)?;
        a.dec(dword_ptr(rsp))?;
        a.jnz(again)?;
        a.pop(rcx)
    }

    /// A call within the page or to one beside it.
    fn call_near(&mut self, a: &mut CodeAssembler, level: usize) -> Done {
        let page =
            PAGE.wrapping_add([0, 0, 0x1000, 0u64.wrapping_sub(0x1000)][self.below(4) as usize]);
        let callee = self.callee(level);
        a.call(page.wrapping_add(callee))
    }

    fn call_anywhere(&mut self, a: &mut CodeAssembler, level: usize) -> Done {
        let target = self.page() + self.callee(level);
        a.mov(rax, target)?;
        if self.below(2) == 0 {
            return a.call(rax);
        }
        a.mov(qword_ptr(r14 + 0x300), rax)?;
        a.call(qword_ptr(r14 + 0x300))
    }

    /// Writes where nobody executes anything, but for the other CPU's data.
    fn data_of_another(&mut self, a: &mut CodeAssembler) -> Done {
        let at = DATA_OF[self.below(2) as usize] + 8 * self.below(64);
        a.lock().add(qword_ptr(at), rax)
    }

    /// Writes data to its own page, or to another one.
    fn write_beside(&mut self, a: &mut CodeAssembler) -> Done {
        let at = (DATA_IN_PAGE + 8 * self.below(4)) as i32;
        if self.below(4) != 0 {
            return a.inc(qword_ptr(PAGES + self.below(COUNT) * 0x1000 + at as u64));
        }
        let mut here = a.create_label();
        a.set_label(&mut here)?;
        a.lea(rdi, ptr(here))?;
        a.and(rdi, -4096)?;
        a.xor(byte_ptr(rdi + at), 1)
    }

    /// Changes an operand behind or in front of itself.
    fn change_itself(&mut self, a: &mut CodeAssembler) -> Done {
        if self.below(3) != 0 {
            // Not each time: that would keep it from being compiled.
            let mut skip = a.create_label();
            a.test(r13d, 7 << self.below(20))?;
            a.jne(skip)?;
            let changed = self.change_operand(a);
            a.set_label(&mut skip)?;
            a.nop()?;
            return changed;
        }
        self.change_operand(a)
    }

    fn change_operand(&mut self, a: &mut CodeAssembler) -> Done {
        let mut operand = a.create_label();
        let before = self.below(2) == 0;
        if before {
            a.set_label(&mut operand)?;
            a.add(eax, 5)?;
        }
        a.lea(rdi, ptr(operand))?;
        a.inc(byte_ptr(rdi + 2))?;
        if !before {
            let count = self.below(2);
            self.straight(a, count)?;
            a.set_label(&mut operand)?;
            a.add(eax, 5)?;
        }
        Ok(())
    }

    /// A repeated string instruction, which is a block of its own.
    fn fill(&mut self, a: &mut CodeAssembler) -> Done {
        a.lea(rdi, ptr(r14 + 0x200))?;
        a.mov(ecx, self.below(40) as u32)?;
        a.rep().stosb()
    }

    /// Goes on behind a function that nobody called: a return that belongs to no call.
    fn return_elsewhere(&mut self, a: &mut CodeAssembler) -> Done {
        let mut behind = a.create_label();
        a.lea(rax, ptr(behind))?;
        a.push(rax)?;
        a.mov(rax, self.page())?;
        a.push(rax)?;
        a.ret()?;
        a.set_label(&mut behind)?;
        a.nop()
    }
}
