//! I/O ports: the privilege level, the permission bitmap and the bus (Intel SDM vol. 1, 19.5).

use chaosrun_x86::Exit;
use iced_x86::code_asm::*;

use crate::harness::layout::*;
use crate::harness::{Machine, Seen, reg};

#[test]
fn values_reach_the_bus_with_their_sizes() {
    let (mut m, _) = Machine::kernel(|a| {
        a.mov(eax, 0x1122_3344)?;
        a.mov(edx, 0x1234)?;
        a.out(dx, eax)?;
        a.out(0x80, al)?;
        a.out(dx, ax)?;
        a.in_(al, 0x60)?;
        a.mov(ebx, eax)?;
        a.in_(ax, dx)?;
        a.mov(ecx, eax)?;
        a.in_(eax, dx)?;
        a.hlt()
    });
    m.bus.answer = 0xaabb_ccdd;
    m.halt();
    let expected = [
        Seen::Out(0x1234, 4, 0x1122_3344),
        Seen::Out(0x80, 1, 0x44),
        Seen::Out(0x1234, 2, 0x3344),
        Seen::In(0x60, 1),
        Seen::In(0x1234, 2),
        Seen::In(0x1234, 4),
    ];
    assert_eq!(m.bus.seen, expected);
    assert_eq!(
        (m.gpr(reg::RBX), m.gpr(reg::RCX)),
        (0x1122_33dd, 0x1122_ccdd)
    );
    assert_eq!(m.gpr(reg::RAX), 0xaabb_ccdd);
}

#[test]
fn string_io_moves_between_ports_and_memory() {
    let (mut m, _) = Machine::kernel(|a| {
        a.mov(edx, 0x300)?;
        a.mov(esi, DATA as u32)?;
        a.mov(ecx, 3)?;
        a.rep().outsw()?;
        a.mov(edi, (DATA + 0x100) as u32)?;
        a.mov(ecx, 2)?;
        a.rep().insd()?;
        a.hlt()
    });
    m.poke64(DATA, 0x4444_3333_2222_1111);
    m.bus.answer = 0x0102_0304;
    m.halt();
    let out = |value| Seen::Out(0x300, 2, value);
    let input = Seen::In(0x300, 4);
    assert_eq!(
        m.bus.seen,
        [out(0x1111), out(0x2222), out(0x3333), input.clone(), input]
    );
    assert_eq!(m.peek64(DATA + 0x100), 0x0102_0304_0102_0304);
}

#[test]
fn input_whose_store_would_fault_does_not_read_the_port() {
    let (mut m, p) = Machine::kernel(|a| {
        a.mov(edx, 0x300)?;
        a.mov(edi, FREE as u32)?;
        a.insb()
    });
    m.remap(FREE, |_| 0);
    assert_eq!(m.event().what(), (vector::PF, Some(2), p.at(2)));
    assert_eq!(m.bus.seen, []);
}

#[test]
fn stop_takes_effect_behind_the_access() {
    let (mut m, p) = Machine::kernel(|a| {
        a.mov(eax, 1)?;
        a.out(0x80, al)?;
        a.mov(eax, 2)?;
        a.hlt()
    });
    m.bus.stops_at_ports = true;
    let before = m.cpu.retired();
    assert_eq!(m.run(100), Exit::Stop);
    assert_eq!((m.cpu.state().rip, m.gpr(reg::RAX)), (p.at(2), 1));
    assert_eq!(m.cpu.retired() - before, 2);
    m.halt();
}

/// Whether user code may access `size` ports from `port`.
fn permitted(port: u16, size: u32, setup: impl FnOnce(&mut Machine)) -> bool {
    let (mut m, p) = Machine::user(|a| {
        a.mov(edx, u32::from(port))?;
        match size {
            1 => a.in_(al, dx)?,
            2 => a.in_(ax, dx)?,
            _ => a.in_(eax, dx)?,
        }
        a.int(0x80)
    });
    m.open_gate(0x80, 3, 0);
    // A bitmap of all ports behind the TSS, with a byte of ones behind it.
    m.poke(TSS + 0x68, &[0; 0x200]);
    m.change(|state| state.tr.limit = 0x68 + 0x200);
    setup(&mut m);
    let e = m.event();
    if e.vector == 0x80 {
        assert_eq!(m.bus.seen, [Seen::In(port, size as u8)]);
        return true;
    }
    assert_eq!(e.what(), (vector::GP, Some(0), p.at(1)));
    assert_eq!(m.bus.seen, []);
    false
}

/// Whether user code may move two words from memory to `port` and those after it.
fn string_permitted(port: u16, setup: impl FnOnce(&mut Machine)) -> bool {
    let (mut m, p) = Machine::user(|a| {
        a.mov(edx, u32::from(port))?;
        a.mov(esi, USER_DATA as u32)?;
        a.mov(ecx, 2)?;
        a.rep().outsw()?;
        a.int(0x80)
    });
    m.open_gate(0x80, 3, 0);
    m.poke(TSS + 0x68, &[0; 0x200]);
    m.change(|state| state.tr.limit = 0x68 + 0x200);
    m.poke64(USER_DATA, 0x2222_1111);
    setup(&mut m);
    let e = m.event();
    if e.vector == 0x80 {
        let out = |value| Seen::Out(port, 2, value);
        assert_eq!(m.bus.seen, [out(0x1111), out(0x2222)]);
        return true;
    }
    assert_eq!(e.what(), (vector::GP, Some(0), p.at(3)));
    assert_eq!(m.bus.seen, []);
    false
}

fn deny(port: u16) -> impl FnOnce(&mut Machine) {
    move |m| m.poke(TSS + 0x68 + u64::from(port / 8), &[1 << (port % 8)])
}

#[test]
fn bitmap_grants_and_denies_single_ports() {
    assert!(permitted(0x10, 1, |_| {}));
    assert!(!permitted(0x10, 1, deny(0x10)));
    assert!(permitted(0x10, 1, deny(0x11)));
    assert!(permitted(0x10, 1, deny(0x0f)));
}

#[test]
fn wide_accesses_need_every_port_even_across_bytes_of_the_bitmap() {
    assert!(!permitted(0x10, 2, deny(0x11)));
    assert!(!permitted(0x10, 4, deny(0x13)));
    assert!(permitted(0x10, 4, deny(0x14)));
    assert!(!permitted(0x16, 4, deny(0x18)));
    assert!(!permitted(0x17, 2, deny(0x18)));
}

#[test]
fn ports_beyond_the_limit_are_denied() {
    let limit = |limit: u32| move |m: &mut Machine| m.change(|state| state.tr.limit = limit);
    // Two bytes are read for every access.
    assert!(permitted(0x10, 1, limit(0x68 + 3)));
    assert!(!permitted(0x10, 1, limit(0x68 + 2)));
    assert!(!permitted(0x10, 1, limit(0x66)));
    assert!(!permitted(0xffff, 1, limit(0x68 + 0x1fff)));
}

#[test]
fn io_privilege_level_makes_the_bitmap_unnecessary() {
    let privileged = |m: &mut Machine| {
        m.change(|state| {
            state.rflags |= flag::IOPL;
            state.tr.limit = 0x67;
        });
    };
    assert!(permitted(0x10, 4, privileged));
}

#[test]
fn bitmap_governs_string_accesses() {
    assert!(string_permitted(0x150, |_| {}));
    assert!(!string_permitted(0x150, deny(0x151)));
    assert!(string_permitted(0x150, deny(0x152)));
}

/// As Linux does it: the map's offset lies beyond the limit until a process asks for ports.
#[test]
fn bitmap_beyond_the_limit_denies_all_ports() {
    assert!(!permitted(0x150, 4, |m| m.poke(TSS + 0x66, &[0, 0x80])));
    let elsewhere = |m: &mut Machine| {
        m.poke(TSS + 0x66, &0xa8u16.to_le_bytes());
        // Where the map was, all ports are denied.
        m.poke(TSS + 0x68, &[0xff; 0x40]);
        m.poke(TSS + 0xa8, &[0; 0x40]);
    };
    assert!(permitted(0x150, 4, elsewhere));
}
