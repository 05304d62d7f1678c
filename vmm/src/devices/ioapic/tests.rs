use super::*;

fn write(ioapic: &mut IoapicState, index: u8, value: u32) -> Vec<Effect> {
    let mut effects = Vec::new();
    ioapic.write(SELECT, index.into(), &mut effects);
    ioapic.write(WINDOW, value, &mut effects);
    effects
}

fn read(ioapic: &mut IoapicState, index: u8) -> u32 {
    ioapic.write(SELECT, index.into(), &mut Vec::new());
    ioapic.read(WINDOW)
}

/// Programs `pin` for physical destination 1.
fn program(ioapic: &mut IoapicState, pin: u8, low: u32) -> Vec<Effect> {
    let mut effects = write(ioapic, 0x11 + 2 * pin, 0x0100_0000);
    effects.extend(write(ioapic, 0x10 + 2 * pin, low));
    effects
}

fn set(ioapic: &mut IoapicState, pin: u32, asserted: bool) -> Vec<Effect> {
    let mut effects = Vec::new();
    ioapic.set_line(pin, asserted, &mut effects);
    effects
}

fn eoi(ioapic: &mut IoapicState, vector: u8) -> Vec<Effect> {
    let mut effects = Vec::new();
    ioapic.eoi(vector, &mut effects);
    effects
}

fn sent(vector: u8, level: bool) -> Effect {
    let destination = Destination::Field {
        logical: false,
        id: 1,
    };
    Effect::Ipi(Ipi {
        mode: 0,
        vector,
        level,
        deassert: false,
        destination,
    })
}

#[test]
fn identity_registers_show_24_pins_of_version_20() {
    let mut ioapic = IoapicState::new(3);
    assert_eq!(read(&mut ioapic, 0), 0x0300_0000);
    assert_eq!(read(&mut ioapic, 1), 0x0017_0020);
    assert_eq!(read(&mut ioapic, 2), 0x0300_0000);
    assert_eq!(read(&mut ioapic, 0x10), 0x0001_0000);
    assert_eq!(read(&mut ioapic, 0x3e), 0x0001_0000);
    assert_eq!(read(&mut ioapic, 0x40), 0);
    write(&mut ioapic, 0, 0xff00_0000);
    assert_eq!(read(&mut ioapic, 0), 0x0f00_0000);
}

#[test]
fn redirection_entries_keep_what_is_writable() {
    let mut ioapic = IoapicState::new(0);
    write(&mut ioapic, 0x12, 0xffff_ffff);
    write(&mut ioapic, 0x13, 0xffff_ffff);
    assert_eq!(read(&mut ioapic, 0x12), 0x0001_afff);
    assert_eq!(read(&mut ioapic, 0x13), 0xff00_0000);
}

#[test]
fn isa_interrupt_0_arrives_at_pin_2() {
    assert_eq!([0, 1, 4, 8, 17].map(pin_of_line), [2, 1, 4, 8, 17]);
}

#[test]
fn edge_pin_sends_once_per_rising_edge() {
    let mut ioapic = IoapicState::new(0);
    program(&mut ioapic, 4, 0x34);
    assert_eq!(set(&mut ioapic, 4, true), [sent(0x34, false)]);
    assert_eq!(set(&mut ioapic, 4, true), []);
    assert_eq!(set(&mut ioapic, 4, false), []);
    assert_eq!(set(&mut ioapic, 4, true), [sent(0x34, false)]);
    assert_eq!(eoi(&mut ioapic, 0x34), []);
}

#[test]
fn edge_at_a_masked_pin_is_lost() {
    let mut ioapic = IoapicState::new(0);
    program(&mut ioapic, 4, 0x1_0034);
    assert_eq!(set(&mut ioapic, 4, true), []);
    assert_eq!(program(&mut ioapic, 4, 0x34), []);
}

#[test]
fn level_pin_waits_for_eoi_with_remote_irr_and_asks_again_while_asserted() {
    let mut ioapic = IoapicState::new(0);
    program(&mut ioapic, 9, 0x8039);
    assert_eq!(set(&mut ioapic, 9, true), [sent(0x39, true)]);
    assert_eq!(read(&mut ioapic, 0x22), 0xc039);
    assert_eq!(set(&mut ioapic, 9, false), []);
    assert_eq!(set(&mut ioapic, 9, true), []);
    assert_eq!(eoi(&mut ioapic, 0x38), []);
    assert_eq!(eoi(&mut ioapic, 0x39), [sent(0x39, true)]);
    set(&mut ioapic, 9, false);
    assert_eq!(eoi(&mut ioapic, 0x39), []);
    assert_eq!(read(&mut ioapic, 0x22), 0x8039);
}

#[test]
fn level_at_a_masked_pin_is_sent_when_unmasked() {
    let mut ioapic = IoapicState::new(0);
    program(&mut ioapic, 9, 0x1_8039);
    assert_eq!(set(&mut ioapic, 9, true), []);
    assert_eq!(program(&mut ioapic, 9, 0x8039), [sent(0x39, true)]);
}

#[test]
fn masked_level_pin_does_not_ask_again_at_eoi() {
    let mut ioapic = IoapicState::new(0);
    program(&mut ioapic, 9, 0x8039);
    set(&mut ioapic, 9, true);
    program(&mut ioapic, 9, 0x1_8039);
    assert_eq!(eoi(&mut ioapic, 0x39), []);
    assert_eq!(read(&mut ioapic, 0x22), 0x1_8039);
    assert_eq!(program(&mut ioapic, 9, 0x8039), [sent(0x39, true)]);
}

#[test]
fn eoi_register_is_a_directed_eoi() {
    let mut ioapic = IoapicState::new(0);
    program(&mut ioapic, 9, 0x8039);
    set(&mut ioapic, 9, true);
    let mut effects = Vec::new();
    ioapic.write(0x40, 0x39, &mut effects);
    assert_eq!(effects, [sent(0x39, true)]);
}

#[test]
fn edge_trigger_mode_clears_remote_irr() {
    let mut ioapic = IoapicState::new(0);
    program(&mut ioapic, 9, 0x8039);
    set(&mut ioapic, 9, true);
    program(&mut ioapic, 9, 0x1_0039);
    assert_eq!(program(&mut ioapic, 9, 0x8039), [sent(0x39, true)]);
}

#[test]
fn software_can_not_write_remote_irr() {
    let mut ioapic = IoapicState::new(0);
    program(&mut ioapic, 9, 0xc039);
    assert_eq!(read(&mut ioapic, 0x22), 0x8039);
}

#[test]
fn polarity_does_not_change_what_asserted_means() {
    let mut ioapic = IoapicState::new(0);
    program(&mut ioapic, 9, 0xa039);
    assert_eq!(set(&mut ioapic, 9, true), [sent(0x39, true)]);
}

#[test]
fn destination_and_mode_travel_with_the_message() {
    let mut ioapic = IoapicState::new(0);
    let message = |effects: Vec<Effect>| match effects[..] {
        [Effect::Ipi(ipi)] => ipi,
        _ => panic!("not one message: {effects:?}"),
    };
    write(&mut ioapic, 0x13, 0x0300_0000);
    write(&mut ioapic, 0x12, 0x0941);
    let ipi = message(set(&mut ioapic, 1, true));
    assert_eq!(
        ipi.destination,
        Destination::Field {
            logical: true,
            id: 3
        }
    );
    assert_eq!((ipi.mode, ipi.vector), (1, 0x41));

    write(&mut ioapic, 0x15, 0xff00_0000);
    write(&mut ioapic, 0x14, 0x8400);
    let ipi = message(set(&mut ioapic, 2, true));
    assert_eq!(ipi.destination, Destination::All);
    assert_eq!((ipi.mode, ipi.level), (4, false));
}

#[test]
fn pins_and_registers_that_do_not_exist_are_ignored() {
    let mut ioapic = IoapicState::new(0);
    let before = ioapic.clone();
    assert_eq!(set(&mut ioapic, 24, true), []);
    assert_eq!(set(&mut ioapic, u32::MAX, true), []);
    for index in 0x40..=0xff {
        write(&mut ioapic, index, 0xffff_ffff);
    }
    ioapic.select = before.select;
    assert_eq!(ioapic, before);
    assert_eq!(ioapic.read(0x14), 0);
}
