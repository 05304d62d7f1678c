use super::*;

/// The pair as Linux programs it: vectors 0x30 and up, automatic nothing, all inputs unmasked.
fn programmed() -> PicState {
    let mut pic = PicState::new();
    initialise(&mut pic, 0x01);
    pic
}

fn initialise(pic: &mut PicState, icw4: u8) {
    for (port, value) in [
        (0x20, 0x11),
        (0x21, 0x30),
        (0x21, 0x04),
        (0x21, icw4),
        (0xa0, 0x11),
        (0xa1, 0x38),
        (0xa1, 0x02),
        (0xa1, icw4),
    ] {
        write(pic, port, value);
    }
}

fn write(pic: &mut PicState, port: u16, value: u8) -> Vec<Effect> {
    let mut effects = Vec::new();
    pic.write(port, value, &mut effects);
    effects
}

fn read(pic: &mut PicState, port: u16) -> u8 {
    pic.read(port, &mut Vec::new())
}

fn set(pic: &mut PicState, line: u32, asserted: bool) -> Vec<Effect> {
    let mut effects = Vec::new();
    pic.set_line(line, asserted, &mut effects);
    effects
}

fn acknowledge(pic: &mut PicState) -> u8 {
    pic.acknowledge(&mut Vec::new())
}

/// The in-service register of the controller at `port`.
fn in_service(pic: &mut PicState, port: u16) -> u8 {
    write(pic, port, 0x0b);
    let value = read(pic, port);
    write(pic, port, 0x0a);
    value
}

const UP: [Effect; 1] = [Effect::Intr { asserted: true }];
const DOWN: [Effect; 1] = [Effect::Intr { asserted: false }];

#[test]
fn mask_reads_back_as_the_probe_of_linux_expects() {
    let mut pic = PicState::new();
    write(&mut pic, 0xa1, 0xff);
    write(&mut pic, 0x21, 0xfb);
    assert_eq!(read(&mut pic, 0x21), 0xfb);
    assert_eq!(read(&mut pic, 0xa1), 0xff);
}

#[test]
fn request_raises_the_output_and_acknowledge_gives_the_vector() {
    let mut pic = programmed();
    assert_eq!(set(&mut pic, 4, true), UP);
    assert_eq!(read(&mut pic, 0x20), 0x10);
    let mut effects = Vec::new();
    assert_eq!(pic.acknowledge(&mut effects), 0x34);
    assert_eq!(effects, DOWN);
    assert_eq!(read(&mut pic, 0x20), 0);
    assert_eq!(in_service(&mut pic, 0x20), 0x10);
    assert!(!pic.output());
}

#[test]
fn second_controller_requests_through_the_cascade() {
    let mut pic = programmed();
    assert_eq!(set(&mut pic, 8, true), UP);
    assert_eq!(acknowledge(&mut pic), 0x38);
    assert_eq!(in_service(&mut pic, 0x20), 0x04);
    assert_eq!(in_service(&mut pic, 0xa0), 0x01);
    set(&mut pic, 9, true);
    assert!(!pic.output());
    write(&mut pic, 0xa0, 0x20);
    assert!(!pic.output());
    assert_eq!(write(&mut pic, 0x20, 0x20), UP);
    assert_eq!(acknowledge(&mut pic), 0x39);
}

#[test]
fn lower_inputs_preempt_and_higher_ones_wait_for_eoi() {
    let mut pic = programmed();
    set(&mut pic, 4, true);
    acknowledge(&mut pic);
    set(&mut pic, 5, true);
    assert!(!pic.output());
    set(&mut pic, 1, true);
    assert_eq!(acknowledge(&mut pic), 0x31);
    write(&mut pic, 0x20, 0x20);
    assert_eq!(in_service(&mut pic, 0x20), 0x10);
    assert!(!pic.output());
    write(&mut pic, 0x20, 0x20);
    assert_eq!(acknowledge(&mut pic), 0x35);
}

#[test]
fn specific_eoi_ends_the_named_input() {
    let mut pic = programmed();
    set(&mut pic, 4, true);
    acknowledge(&mut pic);
    set(&mut pic, 1, true);
    acknowledge(&mut pic);
    write(&mut pic, 0x20, 0x64);
    assert_eq!(in_service(&mut pic, 0x20), 0x02);
}

#[test]
fn masked_request_is_kept_until_unmasked() {
    let mut pic = programmed();
    write(&mut pic, 0x21, 0x10);
    assert_eq!(set(&mut pic, 4, true), []);
    assert_eq!(write(&mut pic, 0x21, 0), UP);
    assert_eq!(write(&mut pic, 0x21, 0x10), DOWN);
}

#[test]
fn acknowledge_of_nothing_is_spurious_and_not_in_service() {
    let mut pic = programmed();
    assert_eq!(acknowledge(&mut pic), 0x37);
    assert_eq!(in_service(&mut pic, 0x20), 0);
}

#[test]
fn edge_input_requests_once_and_a_level_input_while_asserted() {
    let mut pic = programmed();
    set(&mut pic, 5, true);
    acknowledge(&mut pic);
    write(&mut pic, 0x20, 0x20);
    set(&mut pic, 5, true);
    assert!(!pic.output());

    write(&mut pic, 0x4d0, 0xff);
    assert_eq!(read(&mut pic, 0x4d0), 0xf8);
    assert!(pic.output());
    assert_eq!(acknowledge(&mut pic), 0x35);
    assert_eq!(write(&mut pic, 0x20, 0x20), UP);
    assert_eq!(set(&mut pic, 5, false), DOWN);
}

#[test]
fn level_control_refuses_the_inputs_of_the_system_board() {
    let mut pic = PicState::new();
    write(&mut pic, 0x4d1, 0xff);
    assert_eq!(read(&mut pic, 0x4d1), 0xde);
}

#[test]
fn initialisation_clears_mask_service_and_edges() {
    let mut pic = programmed();
    set(&mut pic, 1, true);
    acknowledge(&mut pic);
    set(&mut pic, 3, true);
    write(&mut pic, 0x21, 0xaa);
    initialise(&mut pic, 0x01);
    assert_eq!(read(&mut pic, 0x21), 0);
    assert_eq!(read(&mut pic, 0x20), 0);
    assert_eq!(in_service(&mut pic, 0x20), 0);
    set(&mut pic, 3, true);
    assert!(!pic.output());
    set(&mut pic, 3, false);
    assert_eq!(set(&mut pic, 3, true), UP);
}

#[test]
fn automatic_eoi_leaves_nothing_in_service() {
    let mut pic = programmed();
    initialise(&mut pic, 0x03);
    set(&mut pic, 8, true);
    set(&mut pic, 9, true);
    assert_eq!(acknowledge(&mut pic), 0x38);
    assert_eq!(in_service(&mut pic, 0xa0), 0);
    assert_eq!(acknowledge(&mut pic), 0x39);
    assert!(!pic.output());
}

#[test]
fn rotation_makes_the_served_input_the_last() {
    let mut pic = programmed();
    set(&mut pic, 3, true);
    acknowledge(&mut pic);
    write(&mut pic, 0x20, 0xa0);
    set(&mut pic, 3, false);
    set(&mut pic, 3, true);
    set(&mut pic, 4, true);
    assert_eq!(acknowledge(&mut pic), 0x34);
    // Input 5 becomes the lowest, so that 6 is the highest.
    write(&mut pic, 0x20, 0xc5);
    write(&mut pic, 0x20, 0x64);
    set(&mut pic, 7, true);
    assert_eq!(acknowledge(&mut pic), 0x37);
}

#[test]
fn special_mask_lets_every_unmasked_input_through() {
    let mut pic = programmed();
    set(&mut pic, 1, true);
    acknowledge(&mut pic);
    write(&mut pic, 0x20, 0x68);
    write(&mut pic, 0x21, 0x02);
    assert_eq!(set(&mut pic, 6, true), UP);
    write(&mut pic, 0x20, 0x48);
    assert!(!pic.output());
}

#[test]
fn special_fully_nested_lets_the_second_controller_preempt_itself() {
    let mut pic = programmed();
    initialise(&mut pic, 0x11);
    set(&mut pic, 12, true);
    acknowledge(&mut pic);
    assert_eq!(set(&mut pic, 9, true), UP);
    assert_eq!(acknowledge(&mut pic), 0x39);
}

#[test]
fn poll_acknowledges_and_names_the_input() {
    let mut pic = programmed();
    write(&mut pic, 0x20, 0x0c);
    assert_eq!(read(&mut pic, 0x20), 0);
    set(&mut pic, 6, true);
    write(&mut pic, 0x20, 0x0c);
    assert_eq!(read(&mut pic, 0x20), 0x86);
    assert_eq!(in_service(&mut pic, 0x20), 0x40);
    assert!(!pic.output());
}

#[test]
fn cascade_and_missing_lines_are_ignored() {
    let mut pic = programmed();
    assert_eq!(set(&mut pic, 2, true), []);
    assert_eq!(set(&mut pic, 16, true), []);
    assert_eq!(set(&mut pic, u32::MAX, true), []);
}
