//! Machines that share compiled code do not disturb each other, whatever they do to the pages that it was
//! made from, and wherever the code is forgotten.

use std::thread;

use chaosrun_x86::{CodeStore, Exit};
use iced_x86::code_asm::*;

use crate::harness::layout::*;
use crate::harness::same::{assert_same, assert_same_cpu};
use crate::harness::{Machine, reg};
use crate::modes::{ALL_CUTS, check, repeat};

const ROUNDS: u32 = 600;

/// Two functions of equal content in pages of their own. The second changes each time that the low bits of
/// the round are those of `phase`, and the page of the first gets data behind the code.
fn twins(phase: u32) -> Machine {
    let (first, second) = (FREE, FREE + 0x1000);
    let (mut m, _) = Machine::kernel(|a| {
        repeat(a, ROUNDS, |a| {
            let mut keep = a.create_label();
            a.call(first)?;
            a.call(second)?;
            a.mov(ecx, r15d)?;
            a.and(ecx, 63)?;
            a.cmp(ecx, phase)?;
            a.jne(keep)?;
            a.inc(byte_ptr(second + 1))?;
            a.mov(qword_ptr(first + 0x800), r15)?;
            a.set_label(&mut keep)?;
            a.call(second)
        })
    });
    for at in [first, second] {
        m.place(at, 64, |a| {
            let mut again = a.create_label();
            a.mov(eax, 1)?;
            a.mov(edx, 3)?;
            a.set_label(&mut again)?;
            a.add(rbx, rax)?;
            a.dec(edx)?;
            a.jnz(again)?;
            a.ret()
        });
    }
    m
}

fn shared(m: &mut Machine, store: &CodeStore, after: u8) {
    m.code.compile_after(after);
    m.code.share(store);
}

/// The machine at its end, with nothing compiled.
fn interpreted(phase: u32) -> Machine {
    let mut m = twins(phase);
    m.code.compile_after(0);
    assert_eq!(m.run(1 << 40), Exit::Halt);
    m
}

#[test]
fn pages_of_equal_content_in_one_machine_change_by_themselves() {
    let m = check("twins", || twins(5), |_| {}, &ALL_CUTS);
    // In the round that the second function changes in, its second call returns more already.
    let (mut value, mut sum) = (1, 0);
    for round in (1..=ROUNDS).rev() {
        sum += 3 + 3 * value;
        value += u64::from(round & 63 == 5);
        sum += 3 * value;
    }
    assert_eq!(m.gpr(reg::RBX), sum);
}

#[test]
fn code_is_forgotten_at_any_moment_without_a_trace() {
    let store = CodeStore::default();
    let mut plain = twins(9);
    plain.code.compile_after(0);
    let mut others = [9, 9].map(twins);
    shared(&mut others[0], &store, 2);
    shared(&mut others[1], &store, 24);
    for turn in 0.. {
        let budget = 1 + turn * 37 % 301;
        let exit = plain.run(budget);
        for other in &mut others {
            assert_eq!(other.run(budget), exit);
            assert_same_cpu(&plain, other, "twins");
        }
        if turn % 7 == 0 {
            store.begin_afresh();
        }
        if exit == Exit::Halt {
            break;
        }
    }
    for other in &others {
        assert_same(&plain, other, "twins");
    }
}

#[test]
fn machines_on_several_threads_share_code_while_some_of_them_change_theirs() {
    let store = CodeStore::default();
    let work = &|number: u32| {
        for round in 0..6 {
            let phase = (number + round) % 3;
            let mut m = twins(phase);
            shared(&mut m, &store, 1 + number as u8);
            // Short turns, so that the others' changes come in between.
            while m.run(500) == Exit::Budget {}
            assert_same(&interpreted(phase), &m, "on a thread");
            if number == 0 {
                store.begin_afresh();
            }
        }
    };
    thread::scope(|scope| {
        for number in 0..4 {
            scope.spawn(move || work(number));
        }
    });
}
