use super::registers::*;
use super::*;

mod msr;
mod timer;

const TSC_KHZ: u64 = 3_000_000;
const CRYSTAL_HZ: u32 = 25_000_000;
const APIC_BASE: u32 = 0x1b;
const TSC_DEADLINE: u32 = 0x6e0;
const START: VirtTime = VirtTime(0);

fn powered_up(index: u32) -> LapicState {
    LapicState::new(index, CRYSTAL_HZ, TscClock::new(TSC_KHZ))
}

fn enabled(index: u32) -> LapicState {
    let mut lapic = powered_up(index);
    write(&mut lapic, SVR, 0x1ff);
    lapic
}

fn x2apic(index: u32) -> LapicState {
    let mut lapic = enabled(index);
    let base = lapic.base;
    assert!(write_msr(&mut lapic, APIC_BASE, base | BASE_X2APIC));
    lapic
}

fn write(lapic: &mut LapicState, offset: u32, value: u32) -> Vec<Effect> {
    write_at(lapic, offset, value, START)
}

fn write_at(lapic: &mut LapicState, offset: u32, value: u32, now: VirtTime) -> Vec<Effect> {
    let mut effects = Vec::new();
    lapic.write(offset, value, now, &mut effects);
    effects
}

fn write_msr(lapic: &mut LapicState, index: u32, value: u64) -> bool {
    lapic.write_msr(index, value, START, &mut Vec::new())
}

fn fixed(vector: u8, destination: Destination) -> Ipi {
    Ipi {
        mode: MODE_FIXED,
        vector,
        level: false,
        deassert: false,
        destination,
    }
}

fn to_all(mode: u8, vector: u8) -> Ipi {
    Ipi {
        mode,
        ..fixed(vector, Destination::All)
    }
}

fn request(lapic: &mut LapicState, vector: u8) {
    assert_eq!(
        lapic.accept(&fixed(vector, Destination::All)),
        Accepted::Interrupt
    );
}

/// Takes a vector that must be pending.
fn take(lapic: &mut LapicState) -> u8 {
    let pending = lapic.pending().expect("nothing is pending");
    assert_eq!(lapic.acknowledge(), pending);
    pending
}

#[test]
fn power_up_values_are_those_of_the_manual() {
    let mut lapic = powered_up(3);
    let registers = [
        ID,
        VERSION,
        TPR,
        PPR,
        LDR,
        DFR,
        SVR,
        LVT,
        LVT_LAST,
        CMCI,
        CURRENT_COUNT,
    ];
    let values = registers.map(|offset| lapic.read(offset, START));
    let lvt = 0x1_0000;
    assert_eq!(
        values,
        [
            0x0300_0000,
            0x0106_0014,
            0,
            0,
            0,
            0xffff_ffff,
            0xff,
            lvt,
            lvt,
            lvt,
            0
        ]
    );
    assert_eq!(lapic.mmio_base(), Some(DEFAULT_BASE));
    assert_eq!(lapic.read_msr(APIC_BASE, START), Some(0xfee0_0800));
    assert_eq!(powered_up(0).read_msr(APIC_BASE, START), Some(0xfee0_0900));
}

#[test]
fn highest_vector_is_served_first_and_moves_from_irr_to_isr() {
    let mut lapic = enabled(0);
    request(&mut lapic, 0x31);
    request(&mut lapic, 0xef);
    assert_eq!(lapic.read(IRR + 0x10, START), 1 << 17);
    assert_eq!(lapic.read(IRR + 0x70, START), 1 << 15);
    assert_eq!(take(&mut lapic), 0xef);
    assert_eq!(lapic.read(ISR + 0x70, START), 1 << 15);
    assert_eq!(lapic.read(IRR + 0x70, START), 0);
    assert_eq!(lapic.read(PPR, START), 0xe0);
    assert_eq!(lapic.pending(), None);
    assert_eq!(write(&mut lapic, EOI, 0), []);
    assert_eq!(take(&mut lapic), 0x31);
}

#[test]
fn vector_of_the_class_in_service_waits_and_a_higher_class_preempts() {
    let mut lapic = enabled(0);
    request(&mut lapic, 0x40);
    take(&mut lapic);
    request(&mut lapic, 0x4f);
    assert_eq!(lapic.pending(), None);
    request(&mut lapic, 0x50);
    assert_eq!(take(&mut lapic), 0x50);
    write(&mut lapic, EOI, 0);
    assert_eq!(lapic.pending(), None);
    write(&mut lapic, EOI, 0);
    assert_eq!(lapic.pending(), Some(0x4f));
}

#[test]
fn task_priority_and_cr8_hold_back_their_class() {
    let mut lapic = enabled(0);
    request(&mut lapic, 0x55);
    lapic.set_cr8(5);
    assert_eq!(lapic.pending(), None);
    assert_eq!(lapic.read(TPR, START), 0x50);
    lapic.set_cr8(4);
    assert_eq!(lapic.pending(), Some(0x55));
    write(&mut lapic, TPR, 0x9c);
    assert_eq!(lapic.cr8(), 9);
    assert_eq!(lapic.read(PPR, START), 0x9c);
    assert_eq!(lapic.pending(), None);
}

#[test]
fn acknowledge_without_request_gives_the_spurious_vector_and_no_service() {
    let mut lapic = enabled(0);
    write(&mut lapic, SVR, 0x1a7);
    request(&mut lapic, 0x31);
    lapic.set_cr8(15);
    assert_eq!(lapic.acknowledge(), 0xa7);
    assert_eq!(lapic.read(ISR + 0x50, START), 0);
    assert_eq!(lapic.read(IRR + 0x10, START), 1 << 17);
}

#[test]
fn eoi_of_a_level_interrupt_is_broadcast_unless_suppressed() {
    let mut lapic = enabled(0);
    let ipi = Ipi {
        level: true,
        ..fixed(0x61, Destination::All)
    };
    lapic.accept(&ipi);
    assert_eq!(lapic.read(TMR + 0x30, START), 2);
    take(&mut lapic);
    assert_eq!(write(&mut lapic, EOI, 0), [Effect::Eoi { vector: 0x61 }]);

    write(&mut lapic, SVR, 0x11ff);
    lapic.accept(&ipi);
    take(&mut lapic);
    assert_eq!(write(&mut lapic, EOI, 0), []);

    write(&mut lapic, SVR, 0x1ff);
    request(&mut lapic, 0x61);
    assert_eq!(lapic.read(TMR + 0x30, START), 0);
    take(&mut lapic);
    assert_eq!(write(&mut lapic, EOI, 0), []);
}

#[test]
fn software_disabled_apic_takes_no_vectors_but_nmi_init_and_startup() {
    let mut lapic = powered_up(1);
    assert_eq!(lapic.accept(&to_all(MODE_FIXED, 0x40)), Accepted::Ignored);
    assert_eq!(lapic.accept(&to_all(MODE_EXTINT, 0)), Accepted::Ignored);
    assert_eq!(lapic.accept(&to_all(MODE_NMI, 0)), Accepted::Nmi);
    assert_eq!(lapic.accept(&to_all(MODE_SMI, 0)), Accepted::Smi);
    assert_eq!(lapic.accept(&to_all(MODE_INIT, 0)), Accepted::Init);
    assert_eq!(
        lapic.accept(&to_all(MODE_STARTUP, 0x9a)),
        Accepted::Startup(0x9a)
    );
    assert_eq!(lapic.pending(), None);
}

#[test]
fn software_disable_masks_the_lvt_and_holds_what_was_requested() {
    let mut lapic = enabled(0);
    write(&mut lapic, LVT, 0x40);
    request(&mut lapic, 0x41);
    write(&mut lapic, SVR, 0xff);
    assert_eq!(lapic.read(LVT, START), 0x1_0040);
    write(&mut lapic, LVT, 0x42);
    assert_eq!(lapic.read(LVT, START), 0x1_0042);
    assert_eq!(lapic.pending(), Some(0x41));
}

#[test]
fn destinations_match_as_the_modes_say() {
    let mut flat = enabled(1);
    write(&mut flat, LDR, 0x0200_0000);
    let mut cluster = enabled(2);
    write(&mut cluster, DFR, 0x0fff_ffff);
    write(&mut cluster, LDR, 0x3400_0000);
    let wide = x2apic(17);
    let logical = |id| fixed(0x40, Destination::Field { logical: true, id });
    let physical = |id| fixed(0x40, Destination::Field { logical: false, id });

    assert!(flat.matches(&logical(0x06)) && !flat.matches(&logical(0x05)));
    assert!(cluster.matches(&logical(0x34)) && cluster.matches(&logical(0xff)));
    assert!(!cluster.matches(&logical(0x44)) && !cluster.matches(&logical(0x38)));
    assert!(wide.matches(&logical(0x0001_0002)) && wide.matches(&logical(0x0001_ffff)));
    assert!(!wide.matches(&logical(0x0001_0001)) && !wide.matches(&logical(0x0000_0002)));
    assert!(wide.matches(&physical(17)) && !wide.matches(&physical(1)));
    assert!(flat.matches(&fixed(0x40, Destination::Oneself(1))));
    assert!(!flat.matches(&fixed(0x40, Destination::Others(1))));
    assert!(flat.matches(&fixed(0x40, Destination::Others(0))));
}

#[test]
fn lowest_priority_goes_to_the_first_enabled_match() {
    let mut lapics = [powered_up(0), enabled(1), enabled(2)];
    let taken = deliver(&mut lapics, &to_all(MODE_LOWEST_PRIORITY, 0x44));
    assert_eq!(taken, [(1, Accepted::Interrupt)]);
    assert_eq!(lapics[2].pending(), None);
    let taken = deliver(&mut lapics, &to_all(MODE_FIXED, 0x44));
    assert_eq!(taken, [(1, Accepted::Interrupt), (2, Accepted::Interrupt)]);
}

#[test]
fn icr_sends_what_is_written_in_its_two_halves() {
    let mut lapic = enabled(0);
    assert_eq!(write(&mut lapic, ICR_HIGH, 0x0500_0000), []);
    let field = Destination::Field {
        logical: true,
        id: 5,
    };
    assert_eq!(
        write(&mut lapic, ICR_LOW, 0x4840),
        [Effect::Ipi(fixed(0x40, field))]
    );
    assert_eq!(lapic.read(ICR_LOW, START), 0x4840);
    assert_eq!(lapic.read(ICR_HIGH, START), 0x0500_0000);

    let init = Ipi {
        mode: MODE_INIT,
        level: true,
        ..fixed(0, Destination::Others(0))
    };
    assert_eq!(write(&mut lapic, ICR_LOW, 0xc_c500), [Effect::Ipi(init)]);
    let deassert = Ipi {
        deassert: true,
        ..init
    };
    assert_eq!(
        write(&mut lapic, ICR_LOW, 0xc_8500),
        [Effect::Ipi(deassert)]
    );
    let startup = Ipi {
        mode: MODE_STARTUP,
        ..fixed(0x9a, Destination::Others(0))
    };
    assert_eq!(write(&mut lapic, ICR_LOW, 0xc_469a), [Effect::Ipi(startup)]);
    let oneself = fixed(0x51, Destination::Oneself(0));
    assert_eq!(write(&mut lapic, ICR_LOW, 0x4_4051), [Effect::Ipi(oneself)]);
    let all = fixed(0x51, Destination::All);
    assert_eq!(write(&mut lapic, ICR_LOW, 0x8_4051), [Effect::Ipi(all)]);

    write(&mut lapic, ICR_HIGH, 0xff00_0000);
    assert_eq!(write(&mut lapic, ICR_LOW, 0x4051), [Effect::Ipi(all)]);
}

#[test]
fn init_deassert_is_ignored() {
    let mut lapic = enabled(1);
    request(&mut lapic, 0x33);
    let ipi = Ipi {
        deassert: true,
        level: true,
        ..to_all(MODE_INIT, 0)
    };
    assert_eq!(lapic.accept(&ipi), Accepted::Ignored);
    assert_eq!(lapic.pending(), Some(0x33));
}

#[test]
fn init_resets_all_but_identity_and_mode() {
    let mut lapic = x2apic(5);
    request(&mut lapic, 0x33);
    assert!(write_msr(&mut lapic, 0x838, 1000));
    assert_eq!(lapic.accept(&to_all(MODE_INIT, 0)), Accepted::Init);
    assert_eq!(lapic.pending(), None);
    assert_eq!(lapic.read_msr(0x838, START), Some(0));
    assert_eq!(lapic.read_msr(0x80f, START), Some(0xff));
    assert_eq!(lapic.read_msr(0x802, START), Some(5));
    // The timer still runs at the crystal's frequency.
    assert!(write_msr(&mut lapic, 0x80f, 0x1ff));
    assert!(write_msr(&mut lapic, 0x832, 0x40));
    assert!(write_msr(&mut lapic, 0x83e, 0b1011));
    assert!(write_msr(&mut lapic, 0x838, 25));
    assert_eq!(lapic.deadline(), Some(VirtTime(1000)));
}

#[test]
fn illegal_vectors_and_registers_end_in_esr_and_the_error_interrupt() {
    let mut lapic = enabled(0);
    write(&mut lapic, LVT_LAST, 0xfe);
    assert_eq!(write(&mut lapic, ICR_LOW, 0x4_400f), []);
    assert_eq!(lapic.read(ESR, START), 0);
    assert_eq!(take(&mut lapic), 0xfe);
    lapic.accept(&fixed(0x0f, Destination::All));
    lapic.read(0x3f0, START);
    write(&mut lapic, ESR, 0);
    assert_eq!(lapic.read(ESR, START), 0xe0);
    write(&mut lapic, ESR, 0);
    assert_eq!(lapic.read(ESR, START), 0);
}

#[test]
fn virtual_wire_passes_the_pic_through_while_its_line_is_up() {
    let mut lapic = powered_up(0);
    lapic.wire_virtual();
    assert_eq!(lapic.set_lint(0, true), Accepted::ExtInt);
    assert!(lapic.extint_pending());
    lapic.acknowledge_extint();
    assert!(lapic.extint_pending());
    lapic.set_lint(0, false);
    assert!(!lapic.extint_pending());
    assert_eq!(lapic.set_lint(1, true), Accepted::Nmi);
    assert_eq!(lapic.set_lint(1, true), Accepted::Ignored);
    lapic.set_lint(0, true);
    write(&mut lapic, LVT + 0x30, 0x1_0700);
    assert!(!lapic.extint_pending());
}

#[test]
fn extint_message_is_latched_until_acknowledged() {
    let mut lapic = enabled(0);
    assert_eq!(lapic.accept(&to_all(MODE_EXTINT, 0)), Accepted::ExtInt);
    assert!(lapic.extint_pending());
    lapic.acknowledge_extint();
    assert!(!lapic.extint_pending());
}

#[test]
fn edge_pin_in_fixed_mode_requests_once_per_edge() {
    let mut lapic = enabled(0);
    write(&mut lapic, LVT + 0x30, 0x31);
    assert_eq!(lapic.set_lint(0, true), Accepted::Interrupt);
    assert_eq!(take(&mut lapic), 0x31);
    write(&mut lapic, EOI, 0);
    assert_eq!(lapic.set_lint(0, true), Accepted::Ignored);
    assert_eq!(lapic.pending(), None);
}

#[test]
fn level_pin_in_fixed_mode_requests_again_after_eoi() {
    let mut lapic = enabled(0);
    write(&mut lapic, LVT + 0x30, 0x8031);
    lapic.set_lint(0, true);
    assert_eq!(lapic.read(LVT + 0x30, START), 0xc031);
    assert_eq!(take(&mut lapic), 0x31);
    assert_eq!(lapic.pending(), None);
    write(&mut lapic, EOI, 0);
    assert_eq!(take(&mut lapic), 0x31);
    lapic.set_lint(0, false);
    write(&mut lapic, EOI, 0);
    assert_eq!(lapic.pending(), None);
    assert_eq!(lapic.read(LVT + 0x30, START), 0x8031);
}

#[test]
fn arbitrary_accesses_never_panic() {
    let mut lapic = enabled(0);
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    for step in 0..200_000_u64 {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let (value, now) = (
            random >> 7,
            VirtTime(step.wrapping_mul(random >> 40) << (step % 30)),
        );
        let offset = (random >> 20) as u32 & 0xfff;
        let mut effects = Vec::new();
        match random >> 61 {
            0 => drop(lapic.read_msr(0x800 | offset & 0xff, now)),
            1 => drop(lapic.write_msr(0x800 | offset & 0xff, value, now, &mut effects)),
            2 => drop(lapic.write_msr(TSC_DEADLINE, value, now, &mut effects)),
            3 => drop(lapic.write_msr(APIC_BASE, value & 0xd00 | DEFAULT_BASE, now, &mut effects)),
            4 => drop(lapic.read(offset & !0xf, now)),
            5 => lapic.write(offset & !0xf, value as u32, now, &mut effects),
            6 => drop(lapic.set_lint(value as u8, value & 2 != 0)),
            _ => drop(lapic.acknowledge()),
        }
        if let Some(deadline) = lapic.deadline() {
            lapic.expire(deadline);
            assert!(lapic.deadline().is_none_or(|next| next > deadline));
        }
    }
}
