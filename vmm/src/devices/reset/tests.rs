use super::*;

fn write(logic: &mut ResetState, port: u16, value: u8) -> Vec<Effect> {
    assert!(ResetState::owns(port));
    let mut effects = Vec::new();
    logic.write(port, value, &mut effects);
    effects
}

#[test]
fn keyboard_controller_resets_and_is_otherwise_absent() {
    let mut logic = ResetState::new();
    assert_eq!(write(&mut logic, 0x64, 0xaa), []);
    assert_eq!(write(&mut logic, 0x60, 0xfe), []);
    // Linux gives up on a controller whose output buffer stays full, and waits before a reset only
    // while the input buffer is full.
    assert_eq!(logic.read(0x64) & 3, 1);
    assert_eq!(write(&mut logic, 0x64, 0xfe), [Effect::Reset]);
}

#[test]
fn reset_control_register_resets_on_the_rising_bit() {
    let mut logic = ResetState::new();
    assert_eq!(write(&mut logic, 0xcf9, 0x02), []);
    assert_eq!(logic.read(0xcf9), 0x02);
    assert_eq!(write(&mut logic, 0xcf9, 0x06), [Effect::Reset]);
    assert_eq!(write(&mut logic, 0xcf9, 0x0e), []);
}

#[test]
fn acpi_reset_register_takes_only_its_value() {
    let mut logic = ResetState::new();
    assert_eq!(write(&mut logic, RESET_PORT, 0), []);
    assert_eq!(write(&mut logic, RESET_PORT, RESET_VALUE), [Effect::Reset]);
}

#[test]
fn sleep_type_s5_with_sleep_enable_powers_off() {
    let mut logic = ResetState::new();
    assert_eq!(
        write(&mut logic, SLEEP_CONTROL_PORT, SLEEP_TYPE_S5 << 2),
        []
    );
    assert_eq!(logic.read(SLEEP_CONTROL_PORT), SLEEP_TYPE_S5 << 2);
    assert_eq!(write(&mut logic, SLEEP_CONTROL_PORT, 0x20 | 3 << 2), []);
    assert_eq!(logic.read(SLEEP_CONTROL_PORT), 3 << 2);
    assert_eq!(
        write(&mut logic, SLEEP_CONTROL_PORT, 0x20 | SLEEP_TYPE_S5 << 2),
        [Effect::PowerOff]
    );
    assert_eq!(write(&mut logic, SLEEP_STATUS_PORT, 0x80), []);
    assert_eq!(logic.read(SLEEP_STATUS_PORT), 0);
}

#[test]
fn debug_ports_float_and_ignore_writes() {
    let mut logic = ResetState::new();
    for port in [0x80, 0xe9, 0xed, 0x402] {
        assert_eq!(write(&mut logic, port, 0xfe), []);
        assert_eq!(logic.read(port), 0xff);
    }
    assert_eq!(logic, ResetState::new());
    assert!(!ResetState::owns(0x81));
}
