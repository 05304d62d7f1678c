//! The modes and their model-specific registers.

use super::*;

#[test]
fn apic_base_allows_only_the_transitions_of_the_manual() {
    let disabled = DEFAULT_BASE;
    let xapic = DEFAULT_BASE | BASE_ENABLE;
    let wide = xapic | BASE_X2APIC;
    let invalid = DEFAULT_BASE | BASE_X2APIC;
    let mut lapic = powered_up(1);
    assert!(!write_msr(&mut lapic, APIC_BASE, invalid));
    assert!(write_msr(&mut lapic, APIC_BASE, wide));
    assert!(!write_msr(&mut lapic, APIC_BASE, xapic));
    assert!(!write_msr(&mut lapic, APIC_BASE, invalid));
    assert_eq!(lapic.read_msr(APIC_BASE, START), Some(wide));
    assert!(write_msr(&mut lapic, APIC_BASE, disabled));
    assert!(!write_msr(&mut lapic, APIC_BASE, wide));
    assert!(!write_msr(&mut lapic, APIC_BASE, invalid));
    assert!(write_msr(&mut lapic, APIC_BASE, xapic));
    assert!(!write_msr(&mut lapic, APIC_BASE, xapic | 1));
    for bit in (0..8).chain([9]).chain(46..64) {
        assert!(
            !write_msr(&mut lapic, APIC_BASE, xapic | 1 << bit),
            "bit {bit}"
        );
    }
    assert!(write_msr(&mut lapic, APIC_BASE, xapic | 1 << 45));
    assert!(write_msr(&mut lapic, APIC_BASE, xapic));
}

#[test]
fn register_page_moves_and_vanishes_with_apic_base() {
    let mut lapic = powered_up(0);
    assert!(write_msr(&mut lapic, APIC_BASE, 0xd000_0000 | BASE_ENABLE));
    assert_eq!(lapic.mmio_base(), Some(0xd000_0000));
    assert!(write_msr(&mut lapic, APIC_BASE, 0xd000_0000));
    assert_eq!(lapic.mmio_base(), None);
    assert_eq!(x2apic(0).mmio_base(), None);
}

#[test]
fn globally_disabled_apic_forgets_everything_and_passes_the_pins_through() {
    let mut lapic = enabled(0);
    request(&mut lapic, 0x40);
    assert!(write_msr(&mut lapic, APIC_BASE, DEFAULT_BASE | BASE_BSP));
    assert_eq!(lapic.pending(), None);
    assert_eq!(lapic.accept(&to_all(MODE_NMI, 0)), Accepted::Ignored);
    assert_eq!(lapic.set_lint(0, true), Accepted::ExtInt);
    assert!(lapic.extint_pending());
    assert_eq!(lapic.set_lint(1, true), Accepted::Nmi);
}

#[test]
fn x2apic_registers_exist_only_in_x2apic_mode() {
    let mut lapic = enabled(0);
    assert_eq!(lapic.read_msr(0x802, START), None);
    assert!(!write_msr(&mut lapic, 0x808, 0));
    let mut lapic = x2apic(0x12);
    assert_eq!(lapic.read_msr(0x802, START), Some(0x12));
    assert_eq!(lapic.read_msr(0x80d, START), Some(0x1_0004));
    assert_eq!(lapic.read_msr(0x803, START), Some(0x0106_0014));
}

#[test]
fn x2apic_refuses_reserved_registers_bits_and_directions() {
    let mut lapic = x2apic(0);
    for unreadable in [
        0x800, 0x809, 0x80b, 0x80c, 0x80e, 0x831, 0x83f, 0x840, 0x8ff,
    ] {
        assert_eq!(lapic.read_msr(unreadable, START), None, "{unreadable:#x}");
    }
    for unwritable in [
        0x802, 0x803, 0x80a, 0x80d, 0x80e, 0x810, 0x820, 0x831, 0x839, 0x840,
    ] {
        assert!(!write_msr(&mut lapic, unwritable, 0), "{unwritable:#x}");
    }
    for (index, value) in [
        (0x808, 0x100),
        (0x80b, 1),
        (0x80f, 0x400),
        (0x828, 1),
        (0x830, 1 << 13),
        (0x832, 1 << 19),
        (0x835, 1 << 11),
        (0x838, 1 << 32),
        (0x83e, 4),
        (0x83f, 0x100),
    ] {
        assert!(!write_msr(&mut lapic, index, value), "{index:#x}");
        assert!(write_msr(&mut lapic, index, 0), "{index:#x}");
    }
}

#[test]
fn x2apic_icr_is_one_register_with_a_wide_destination() {
    let mut lapic = x2apic(0);
    let mut effects = Vec::new();
    assert!(lapic.write_msr(0x830, 0x0001_0002_0000_0840, START, &mut effects));
    assert!(lapic.write_msr(0x830, 0xffff_ffff_0000_0041, START, &mut effects));
    assert!(lapic.write_msr(0x83f, 0x42, START, &mut effects));
    let field = Destination::Field {
        logical: true,
        id: 0x0001_0002,
    };
    assert_eq!(
        effects,
        [
            Effect::Ipi(fixed(0x40, field)),
            Effect::Ipi(fixed(0x41, Destination::All)),
            Effect::Ipi(fixed(0x42, Destination::Oneself(0))),
        ]
    );
    assert_eq!(lapic.read_msr(0x830, START), Some(0xffff_ffff_0000_0041));
}

#[test]
fn entering_x2apic_mode_forgets_the_narrow_destination() {
    let mut lapic = enabled(0);
    write(&mut lapic, ICR_HIGH, 0x0500_0000);
    let base = lapic.base | BASE_X2APIC;
    assert!(write_msr(&mut lapic, APIC_BASE, base));
    assert_eq!(lapic.read_msr(0x830, START), Some(0));
}
