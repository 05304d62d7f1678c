//! Code that is compiled does what it does when it is interpreted, where the two could part: when code
//! changes or moves, when returns lead elsewhere, when something faults in the middle.

use chaosrun_x86::Exit;
use iced_x86::IcedError;
use iced_x86::code_asm::*;

use crate::harness::layout::*;
use crate::harness::same::fingerprint;
use crate::harness::{Machine, reg};
use crate::modes::{self, ALL_CUTS, all_equal, check, repeat};

/// More than it takes until something is compiled.
const ROUNDS: u32 = 40;

fn nothing(_: &mut Machine) {}

fn program(body: impl Fn(&mut CodeAssembler) -> Result<(), IcedError>) -> impl Fn() -> Machine {
    move || Machine::kernel(|a| repeat(a, ROUNDS, &body)).0
}

#[test]
fn code_that_changes_itself_in_the_same_block() {
    let m = check(
        "same block",
        program(|a| {
            let mut patched = a.create_label();
            a.lea(rbx, byte_ptr(patched))?;
            a.add(dword_ptr(rbx + 1), r15d)?;
            a.set_label(&mut patched)?;
            a.mov(eax, 0x100)?;
            a.add(r14, rax)
        }),
        nothing,
        &ALL_CUTS,
    );
    let (mut value, mut sum) = (0x100, 0);
    for round in (1..=u64::from(ROUNDS)).rev() {
        value += round;
        sum += value;
    }
    assert_eq!(m.cpu.state().gpr[14], sum);
}

/// Calls a function whose constant is changed behind every `every`th call.
fn changing(at: u64, every: u32) -> Machine {
    let (mut m, _) = Machine::kernel(|a| {
        repeat(a, ROUNDS, |a| {
            let mut keep = a.create_label();
            a.call(at)?;
            a.test(r15d, every - 1)?;
            a.jnz(keep)?;
            a.inc(byte_ptr(at + 1))?;
            a.set_label(&mut keep)?;
            a.call(at)
        })
    });
    m.place(at, 64, |a| {
        a.mov(eax, 1)?;
        a.add(rbx, rax)?;
        a.ret()
    });
    m
}

#[test]
fn functions_that_change_between_calls() {
    for (name, at) in [("same page", CODE + 0x800), ("another page", FREE)] {
        for every in [1, 2, 32] {
            let m = check(name, || changing(at, every), nothing, &[1, 2, 3, 7, 13]);
            let (mut value, mut sum) = (1, 0);
            for round in (1..=ROUNDS).rev() {
                sum += value;
                value += u64::from(round % every == 0);
                sum += value;
            }
            assert_eq!(m.gpr(reg::RBX), sum, "{name}, {every}");
        }
    }
}

#[test]
fn functions_that_change_behind_the_call_that_they_return_to() {
    // The function changes the instruction that it returns to, which is in the caller's page.
    let build = || {
        let (mut m, p) = Machine::kernel(|a| {
            repeat(a, ROUNDS, |a| {
                a.call(FREE)?;
                a.mov(eax, 0x10)?;
                a.add(rbx, rax)
            })
        });
        let patched = p.at(2) + 1;
        m.place(FREE, 64, |a| {
            let mut out = a.create_label();
            a.test(r15d, 3)?;
            a.jnz(out)?;
            a.add(byte_ptr(patched), 1)?;
            a.set_label(&mut out)?;
            a.ret()
        });
        m
    };
    let m = check("return to changed code", build, nothing, &ALL_CUTS);
    let (mut value, mut sum) = (0x10, 0);
    for round in (1..=ROUNDS).rev() {
        value += u64::from(round % 4 == 0);
        sum += value;
    }
    assert_eq!(m.gpr(reg::RBX), sum);
}

/// Remaps the page of a function, of the code behind a call, or of a jump's target, in every eighth round.
fn remapped(reload: bool, also_caller: bool) -> Machine {
    const PLACE: u64 = 0x6000_0000_0000;
    let mut m = Machine::new();
    let (first, second) = (
        FREE | page::P | page::W,
        (FREE + 0x1000) | page::P | page::W,
    );
    for (at, add) in [(FREE, 1), (FREE + 0x1000, 0x100)] {
        m.place(at, 64, |a| {
            a.add(rbx, add)?;
            a.ret()
        });
        // Calls whoever RSI points to from the page that goes away, and returns.
        m.place(at + 0x80, 64, |a| {
            a.call(rsi)?;
            a.add(rbx, add * 2)?;
            a.ret()
        });
    }
    m.map(PLACE, first);
    let slot = m.slot(PLACE, 1);
    let remap = move |a: &mut CodeAssembler| {
        let mut keep = a.create_label();
        a.test(r15d, 7)?;
        a.jnz(keep)?;
        a.xor(qword_ptr(slot), (first ^ second) as i32)?;
        if reload {
            a.mov(rax, cr3)?;
            a.mov(cr3, rax)?;
        } else {
            a.mov(rax, PLACE)?;
            a.invlpg(byte_ptr(rax))?;
        }
        a.set_label(&mut keep)?;
        a.nop()
    };
    m.place(CODE + 0x900, 64, |a| {
        if also_caller {
            remap(a)?;
        }
        a.ret()
    });
    m.load(CODE, 64, |a| {
        repeat(a, ROUNDS, |a| {
            a.mov(esi, (CODE + 0x900) as u32)?;
            a.mov(rdi, PLACE)?;
            a.call(rdi)?;
            a.add(rdi, 0x80)?;
            a.call(rdi)?;
            if !also_caller {
                remap(a)?;
            }
            Ok(())
        })
    });
    m
}

#[test]
fn pages_of_code_that_are_mapped_elsewhere() {
    for reload in [false, true] {
        for caller in [false, true] {
            let what = format!("reload {reload}, caller {caller}");
            let m = check(&what, || remapped(reload, caller), nothing, &ALL_CUTS);
            let (mut add, mut sum) = (1, 0);
            for round in (1..=ROUNDS).rev() {
                sum += add;
                if caller && round % 8 == 0 {
                    add ^= 0x101;
                }
                sum += 2 * add;
                if !caller && round % 8 == 0 {
                    add ^= 0x101;
                }
            }
            assert_eq!(m.gpr(reg::RBX), sum, "{what}");
        }
    }
}

#[test]
fn returns_that_lead_elsewhere() {
    let m = check(
        "elsewhere",
        program(|a| {
            let (mut other, mut behind, mut function) =
                (a.create_label(), a.create_label(), a.create_label());
            a.call(function)?;
            a.add(rbx, 1)?;
            a.jmp(behind)?;
            a.set_label(&mut function)?;
            // Every fourth time it returns to another place, and at times to another page.
            let mut plain = a.create_label();
            a.test(r15d, 3)?;
            a.jnz(plain)?;
            a.lea(rax, byte_ptr(other))?;
            a.mov(qword_ptr(rsp), rax)?;
            a.set_label(&mut plain)?;
            a.ret()?;
            a.set_label(&mut other)?;
            a.add(rbx, 0x100)?;
            a.set_label(&mut behind)?;
            a.nop()
        }),
        nothing,
        &ALL_CUTS,
    );
    let elsewhere = u64::from(ROUNDS / 4);
    assert_eq!(
        m.gpr(reg::RBX),
        elsewhere * 0x100 + u64::from(ROUNDS) - elsewhere
    );
}

#[test]
fn return_addresses_that_share_a_landing() {
    // The places behind the calls have the same hash: they are at the same offset of pages whose numbers
    // differ by what cancels out.
    let places = [FREE, FREE + 0x4_0000, FREE + 0x1000, FREE + 0x8_0000];
    let build = || {
        let (mut m, _) = Machine::kernel(|a| {
            repeat(a, ROUNDS, |a| {
                for place in places {
                    a.call(place)?;
                }
                Ok(())
            })
        });
        for (place, add) in places.into_iter().zip([1, 0x100, 0x1_0000, 0x100_0000]) {
            m.place(place, 64, |a| {
                a.test(r15d, 4)?;
                let mut out = a.create_label();
                a.jz(out)?;
                a.call(CODE + 0xff0)?;
                a.add(rbx, add)?;
                a.set_label(&mut out)?;
                a.ret()
            });
        }
        m.place(CODE + 0xff0, 64, |a| a.ret());
        m
    };
    check("shared landings", build, nothing, &ALL_CUTS);
}

#[test]
fn nested_calls_that_share_a_landing() {
    // The inner call's return address hashes to the same place as that of the outer one, whose return
    // finds where the inner one went on.
    let build = || {
        let (mut m, _) = Machine::kernel(|a| repeat(a, ROUNDS, |a| a.call(FREE)));
        let functions = [FREE, FREE + 0x4_0000, FREE + 0x8_0000];
        for (n, at) in functions.into_iter().enumerate() {
            let callee = functions.get(n + 1).copied().unwrap_or(FREE + 0x3000);
            m.place(at, 64, |a| {
                a.call(callee)?;
                a.lea(rbx, qword_ptr(rbx * 2 + n as i32))?;
                a.ret()
            });
        }
        m.place(FREE + 0x3000, 64, |a| a.ret());
        m
    };
    let m = check("nested landings", build, nothing, &ALL_CUTS);
    let mut value = 0u64;
    for _ in 0..ROUNDS {
        for n in [2, 1, 0] {
            value = value.wrapping_mul(2).wrapping_add(n);
        }
    }
    assert_eq!(m.gpr(reg::RBX), value);
}

#[test]
fn interrupts_are_enabled_at_the_end_of_a_block() {
    // STI is the last instruction of its page, so that the budget may end right behind its block.
    let build = || {
        let mut m = Machine::new();
        m.load(CODE + 0xff8, 64, |a| {
            let mut again = a.create_label();
            a.set_label(&mut again)?;
            a.cli()?;
            a.inc(rbx)?;
            a.inc(rsi)?;
            a.sti()?;
            a.dec(r15d)?;
            a.jnz(again)?;
            a.hlt()
        });
        m.change(|state| state.gpr[15] = u64::from(ROUNDS));
        m
    };
    check("sti at the end", build, nothing, &ALL_CUTS);
    // A string instruction is not finished when the budget is used up.
    let string = program(|a| {
        a.cli()?;
        a.mov(edi, DATA as u32)?;
        a.mov(ecx, 11)?;
        a.sti()?;
        a.rep().stosb()?;
        a.cli()?;
        a.mov(ecx, 5)?;
        a.sti()?;
        a.rep().lodsb()
    });
    check("sti and a string", string, nothing, &ALL_CUTS);
    // MOV SS holds interrupts off only if STI in front of it does not.
    let stack = program(|a| {
        a.mov(eax, ss)?;
        a.cli()?;
        a.sti()?;
        a.mov(ss, eax)?;
        a.inc(rbx)?;
        a.inc(rsi)
    });
    check("sti and mov ss", stack, nothing, &ALL_CUTS);
}

#[test]
fn segment_bases_are_added_to_addresses_but_not_by_lea() {
    let make = || {
        let body = |a: &mut CodeAssembler| {
            repeat(a, ROUNDS, |a| {
                // The TLB knows what is at the addresses without the bases, too.
                a.inc(qword_ptr(rbx + 8))?;
                a.mov(rax, qword_ptr(rbx + 16).fs())?;
                a.add(qword_ptr(rbx + 8).gs(), rax)?;
                a.lea(rcx, qword_ptr(rbx + 8).gs())
            })
        };
        let (mut m, _) = Machine::kernel(body);
        m.poke64(FREE + 0x1010, 7);
        m.change(|state| {
            state.segments[4].base = 0x1000;
            state.segments[5].base = 0x2000;
            state.gpr[3] = FREE;
        });
        m
    };
    let m = check("segment bases", make, nothing, &ALL_CUTS);
    let rounds = u64::from(ROUNDS);
    assert_eq!(m.peek64(FREE + 8), rounds);
    assert_eq!(m.peek64(FREE + 0x2008), 7 * rounds);
    assert_eq!(m.cpu.state().gpr[1], FREE + 8);
}

#[test]
fn threads_that_switch_stacks() {
    // Both threads are the same code, called from different places, with a stack each.
    let build = || {
        let (mut m, p) = Machine::kernel(|a| {
            let mut thread = a.create_label();
            let mut switch = a.create_label();
            a.mov(r15d, ROUNDS)?;
            a.lea(rax, byte_ptr(thread))?;
            a.mov(qword_ptr(FREE + 0x800), rax)?;
            a.mov(r13d, (FREE + 0x800) as u32)?;
            let mut again = a.create_label();
            a.set_label(&mut again)?;
            a.add(rbx, 1)?;
            a.call(switch)?;
            a.add(rbx, 2)?;
            a.call(switch)?;
            a.dec(r15d)?;
            a.jnz(again)?;
            a.hlt()?;
            a.set_label(&mut switch)?;
            a.xchg(rsp, r13)?;
            a.ret()?;
            a.set_label(&mut thread)?;
            a.add(rbx, 0x1_0000)?;
            a.call(switch)?;
            a.add(rbx, 0x10_0000)?;
            a.call(FREE)?;
            a.jmp(thread)
        });
        let switch = p.at(11);
        m.place(FREE, 64, |a| {
            a.call(switch)?;
            a.ret()
        });
        m
    };
    check("threads", build, nothing, &ALL_CUTS);
}

#[test]
fn recursion_deeper_than_anything_is_remembered() {
    for depth in [20, 700] {
        let build = || {
            let mut m = Machine::new();
            m.load(CODE, 64, |a| {
                let (mut function, mut out) = (a.create_label(), a.create_label());
                a.mov(edi, depth)?;
                a.call(function)?;
                a.mov(edi, depth)?;
                a.call(function)?;
                a.hlt()?;
                a.set_label(&mut function)?;
                a.add(rbx, rdi)?;
                a.dec(edi)?;
                a.jz(out)?;
                a.test(edi, 1)?;
                let mut odd = a.create_label();
                a.jnz(odd)?;
                a.call(function)?;
                a.inc(rsi)?;
                a.ret()?;
                a.set_label(&mut odd)?;
                a.call(FREE)?;
                a.add(rsi, 3)?;
                a.set_label(&mut out)?;
                a.ret()
            });
            m.place(FREE, 64, |a| {
                a.call(CODE + 21)?;
                a.ret()
            });
            m.change(|state| state.gpr[reg::RSP] = FREE + 0x2_0000);
            m
        };
        let m = check("recursion", build, nothing, &[1, 3, 7]);
        assert_eq!(m.gpr(reg::RBX), (depth * (depth + 1)) as u64);
    }
}

#[test]
fn indirect_jumps_with_many_targets() {
    let build = || {
        let (mut m, p) = Machine::kernel(|a| {
            repeat(a, ROUNDS, |a| {
                a.mov(rax, r15)?;
                a.and(eax, 31)?;
                a.shl(rax, 12)?;
                a.add(rax, FREE as i32)?;
                a.jmp(rax)?;
                a.add(rbx, 5)
            })
        });
        let back = p.at(6);
        for n in 0..32 {
            m.place(FREE + n * 0x1000, 64, |a| {
                a.add(rbx, n as i32)?;
                a.jmp(back)
            });
        }
        m
    };
    check("many targets", build, nothing, &ALL_CUTS);
}

#[test]
fn interrupts_are_enabled_for_the_window_at_the_same_instruction() {
    let body = |a: &mut CodeAssembler| {
        a.cli()?;
        a.inc(rbx)?;
        a.sti()?;
        a.inc(rsi)?;
        a.inc(rdi)?;
        a.cli()?;
        a.sti()?;
        a.sti()?;
        a.nop()?;
        a.cli()?;
        a.sti()?;
        a.cpuid()?;
        a.cli()?;
        a.sti()
    };
    check("sti", program(body), nothing, &ALL_CUTS);
    // Somebody waits for interrupts, from the start and again whenever the window was there.
    let wanted = || {
        let mut m = program(body)();
        m.cpu.request_interrupt_window(true);
        m
    };
    let again = |m: &mut Machine| {
        m.cpu
            .request_interrupt_window(m.cpu.retired().is_multiple_of(3))
    };
    check("sti, wanted", wanted, again, &[]);
    for warm in 0..40 {
        let mut machines = modes::machines(program(body));
        let ends = machines.each_mut().map(|m| {
            assert_eq!(m.run(300 + warm), Exit::Budget);
            m.cpu.request_interrupt_window(true);
            let exit = m.run(50);
            let first = (exit, fingerprint(m), m.cpu.interruptible());
            m.cpu.request_interrupt_window(false);
            (first, m.run(50), fingerprint(m))
        });
        assert!(all_equal(&ends), "after {warm}");
        assert_eq!(ends[0].0.0, Exit::InterruptWindow);
    }
}

#[test]
fn user_mode_must_not_change_the_interrupt_flag() {
    let build = || {
        let (m, _) = Machine::user(|a| {
            a.mov(r15d, ROUNDS)?;
            let mut again = a.create_label();
            a.set_label(&mut again)?;
            a.inc(rbx)?;
            a.sti()?;
            a.inc(rbx)?;
            a.cli()?;
            a.inc(rbx)?;
            a.dec(r15d)?;
            a.jnz(again)?;
            a.mov(qword_ptr(DATA), rax)
        });
        m
    };
    let reports = modes::machines(build).map(|mut m| {
        let mut seen = Vec::new();
        for _ in 0..2 * ROUNDS + 1 {
            seen.push((m.event(), fingerprint(&m)));
            modes::skip_faulting(&mut m);
        }
        seen
    });
    assert!(all_equal(&reports));
    let faults = reports[0]
        .iter()
        .filter(|(event, _)| event.vector == vector::GP);
    assert_eq!(faults.count() as u32, 2 * ROUNDS);
}
