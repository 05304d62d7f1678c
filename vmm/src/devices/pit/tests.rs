use super::*;

/// A moment in the middle of tick `tick`.
fn at(tick: u64) -> VirtTime {
    VirtTime(time_of(tick).unwrap().0 + 400)
}

fn write(pit: &mut PitState, port: u16, value: u8, tick: u64) -> Vec<Effect> {
    let mut effects = Vec::new();
    pit.write(port, value, at(tick), &mut effects);
    effects
}

/// Programs `channel` with both bytes of `count` at `tick`; the count is loaded by the next tick.
fn program(pit: &mut PitState, channel: u8, mode: u8, count: u16, tick: u64) {
    write(pit, 0x43, channel << 6 | 0x30 | mode << 1, tick);
    write_count(pit, channel, count, tick);
}

fn write_count(pit: &mut PitState, channel: u8, count: u16, tick: u64) {
    let port = 0x40 + u16::from(channel);
    write(pit, port, count as u8, tick);
    write(pit, port, (count >> 8) as u8, tick);
}

fn read_count(pit: &mut PitState, channel: u8, tick: u64) -> u16 {
    let port = 0x40 + u16::from(channel);
    let low = pit.read(port, at(tick));
    u16::from_le_bytes([low, pit.read(port, at(tick))])
}

fn status(pit: &mut PitState, channel: u8, tick: u64) -> u8 {
    write(pit, 0x43, 0xe0 | 2 << channel, tick);
    pit.read(0x40 + u16::from(channel), at(tick))
}

/// The ticks of the next `count` expiries, each of which must be a rising edge.
fn expiries(pit: &mut PitState, count: usize) -> Vec<u64> {
    let mut ticks = Vec::new();
    for _ in 0..count {
        let moment = pit.deadline().expect("no deadline");
        let mut effects = Vec::new();
        pit.expire(VirtTime(moment.0 - 1), &mut effects);
        assert_eq!(effects, []);
        pit.expire(moment, &mut effects);
        assert_eq!(
            effects.last(),
            Some(&Effect::Irq {
                line: 0,
                asserted: true
            })
        );
        ticks.push(tick_at(moment));
    }
    ticks
}

#[test]
fn ticks_and_moments_are_inverse() {
    assert_eq!(time_of(1), Some(VirtTime(839)));
    assert_eq!(time_of(FREQUENCY), Some(VirtTime(1_000_000_000)));
    for tick in [1, 2, 3, 1_193_181, 1 << 40] {
        let moment = time_of(tick).unwrap();
        assert_eq!(tick_at(moment), tick);
        assert_eq!(tick_at(VirtTime(moment.0 - 1)), tick - 1);
    }
    assert_eq!(time_of(u64::MAX), None);
}

#[test]
fn rate_generator_interrupts_each_period_without_drift() {
    let mut pit = PitState::new();
    program(&mut pit, 0, 2, 1_193, 10);
    assert_eq!(
        expiries(&mut pit, 4),
        [11 + 1_193, 11 + 2_386, 11 + 3_579, 11 + 4_772]
    );
}

#[test]
fn square_wave_interrupts_each_period() {
    let mut pit = PitState::new();
    program(&mut pit, 0, 3, 0, 0);
    assert_eq!(expiries(&mut pit, 2), [1 + 65_536, 1 + 131_072]);
}

#[test]
fn terminal_count_raises_the_line_once_until_reprogrammed() {
    let mut pit = PitState::new();
    program(&mut pit, 0, 0, 100, 5);
    assert_eq!(status(&mut pit, 0, 50), 0x30);
    assert_eq!(expiries(&mut pit, 1), [106]);
    assert_eq!(pit.deadline(), None);
    assert_eq!(status(&mut pit, 0, 106), 0xb0);
    let effects = write(&mut pit, 0x43, 0x30, 200);
    assert_eq!(
        effects,
        [Effect::Irq {
            line: 0,
            asserted: false
        }]
    );
    assert_eq!(pit.deadline(), None);
}

#[test]
fn software_strobe_interrupts_once_a_tick_after_terminal_count() {
    let mut pit = PitState::new();
    program(&mut pit, 0, 4, 100, 5);
    assert_eq!(expiries(&mut pit, 1), [107]);
    assert_eq!(pit.deadline(), None);
    // A new count alone starts it again.
    write_count(&mut pit, 0, 50, 200);
    assert_eq!(expiries(&mut pit, 1), [252]);
}

#[test]
fn strobe_output_is_low_for_the_tick_of_the_terminal_count() {
    let mut pit = PitState::new();
    program(&mut pit, 0, 4, 3, 0);
    let outputs = [1, 3, 4, 5].map(|tick| status(&mut pit, 0, tick) >> 7);
    assert_eq!(outputs, [1, 1, 0, 1]);
}

#[test]
fn periods_that_passed_unseen_make_one_edge() {
    let mut pit = PitState::new();
    program(&mut pit, 0, 2, 100, 0);
    let mut effects = Vec::new();
    pit.expire(at(1_050), &mut effects);
    assert_eq!(
        effects,
        [Effect::Irq {
            line: 0,
            asserted: true
        }]
    );
    assert_eq!(pit.deadline(), time_of(1_101));
    pit.expire(at(1_101), &mut effects);
    assert_eq!(
        effects[1..],
        [
            Effect::Irq {
                line: 0,
                asserted: false
            },
            Effect::Irq {
                line: 0,
                asserted: true
            },
        ]
    );
}

#[test]
fn reading_does_not_swallow_the_interrupt() {
    let mut pit = PitState::new();
    program(&mut pit, 0, 2, 100, 0);
    read_count(&mut pit, 0, 150);
    let mut effects = Vec::new();
    pit.expire(at(150), &mut effects);
    assert_eq!(
        effects,
        [Effect::Irq {
            line: 0,
            asserted: true
        }]
    );
}

#[test]
fn new_count_of_a_period_starts_with_the_next_one() {
    let mut pit = PitState::new();
    program(&mut pit, 0, 2, 100, 0);
    write_count(&mut pit, 0, 30, 50);
    assert_eq!(status(&mut pit, 0, 50) & 0x40, 0x40);
    assert_eq!(expiries(&mut pit, 3), [101, 131, 161]);
    assert_eq!(status(&mut pit, 0, 161) & 0x40, 0);
}

#[test]
fn counts_down_as_the_modes_do() {
    let mut pit = PitState::new();
    program(&mut pit, 0, 2, 10, 0);
    assert_eq!(
        [1, 2, 10, 11].map(|tick| read_count(&mut pit, 0, tick)),
        [10, 9, 1, 10]
    );
    program(&mut pit, 0, 3, 10, 100);
    assert_eq!(
        [101, 102, 105, 106, 110].map(|tick| read_count(&mut pit, 0, tick)),
        [10, 8, 2, 10, 2]
    );
    program(&mut pit, 0, 3, 5, 200);
    assert_eq!(
        [201, 202, 203, 204, 205].map(|tick| read_count(&mut pit, 0, tick)),
        [4, 2, 0, 4, 2]
    );
    program(&mut pit, 0, 0, 10, 300);
    assert_eq!(
        [301, 311, 312].map(|tick| read_count(&mut pit, 0, tick)),
        [10, 0, 0xffff]
    );
}

#[test]
fn square_wave_output_is_high_for_the_longer_half() {
    let mut pit = PitState::new();
    program(&mut pit, 0, 3, 5, 0);
    let outputs = [1, 2, 3, 4, 5, 6].map(|tick| status(&mut pit, 0, tick) >> 7);
    assert_eq!(outputs, [1, 1, 1, 0, 0, 1]);
}

#[test]
fn latched_count_stays_until_it_is_read() {
    let mut pit = PitState::new();
    program(&mut pit, 0, 2, 1_000, 0);
    write(&mut pit, 0x43, 0x00, 101);
    write(&mut pit, 0x43, 0x00, 500);
    assert_eq!(read_count(&mut pit, 0, 600), 900);
    assert_eq!(read_count(&mut pit, 0, 601), 400);
}

#[test]
fn read_back_latches_status_and_count_of_the_selected_channels() {
    let mut pit = PitState::new();
    program(&mut pit, 0, 2, 1_000, 0);
    program(&mut pit, 1, 3, 18, 0);
    write(&mut pit, 0x43, 0xc6, 101);
    assert_eq!(pit.read(0x40, at(700)), 0xb4);
    assert_eq!(read_count(&mut pit, 0, 700), 900);
    assert_eq!(pit.read(0x41, at(700)) & 0x7f, 0x36);
    // 100 ticks are five periods of 18 and a tick of the second half.
    assert_eq!(read_count(&mut pit, 1, 700), 16);
    assert_eq!(read_count(&mut pit, 0, 701), 300);
}

#[test]
fn read_back_of_the_count_alone_latches_no_status() {
    let mut pit = PitState::new();
    program(&mut pit, 0, 2, 1_000, 0);
    write(&mut pit, 0x43, 0xd2, 101);
    assert_eq!(read_count(&mut pit, 0, 700), 900);
}

#[test]
fn null_count_is_shown_until_the_count_is_loaded() {
    let mut pit = PitState::new();
    write(&mut pit, 0x43, 0x34, 0);
    assert_eq!(status(&mut pit, 0, 0), 0xf4);
    write_count(&mut pit, 0, 100, 1);
    assert_eq!(status(&mut pit, 0, 1), 0xf4);
    assert_eq!(status(&mut pit, 0, 2), 0xb4);
}

#[test]
fn single_byte_accesses_set_and_show_their_half() {
    let mut pit = PitState::new();
    write(&mut pit, 0x43, 0x14, 0);
    write(&mut pit, 0x40, 200, 0);
    assert_eq!(pit.read(0x40, at(11)), 190);
    assert_eq!(pit.read(0x40, at(12)), 189);
    write(&mut pit, 0x43, 0x24, 100);
    write(&mut pit, 0x40, 2, 100);
    assert_eq!(pit.read(0x40, at(101)), 2);
    assert_eq!(pit.read(0x40, at(102)), 1);
    assert_eq!(expiries(&mut pit, 1), [101 + 512]);
}

#[test]
fn bcd_counts_in_decimal_digits() {
    let mut pit = PitState::new();
    write(&mut pit, 0x43, 0x35, 0);
    write_count(&mut pit, 0, 0x1000, 0);
    assert_eq!(read_count(&mut pit, 0, 2), 0x0999);
    assert_eq!(expiries(&mut pit, 1), [1_001]);
    write(&mut pit, 0x43, 0x35, 2_000);
    write_count(&mut pit, 0, 0, 2_000);
    assert_eq!(read_count(&mut pit, 0, 2_002), 0x9999);
    assert_eq!(expiries(&mut pit, 1), [12_001]);
}

#[test]
fn channel_2_counts_while_its_gate_is_open_and_port_61_shows_its_output() {
    let mut pit = PitState::new();
    program(&mut pit, 2, 0, 1_000, 0);
    assert_eq!(read_count(&mut pit, 2, 500), 1_000);
    write(&mut pit, 0x61, 0x01, 600);
    assert_eq!(read_count(&mut pit, 2, 700), 900);
    write(&mut pit, 0x61, 0x00, 800);
    assert_eq!(read_count(&mut pit, 2, 5_000), 800);
    write(&mut pit, 0x61, 0x01, 5_000);
    assert_eq!(pit.read(0x61, at(5_799)) & 0x21, 0x01);
    assert_eq!(pit.read(0x61, at(5_800)) & 0x21, 0x21);
    assert_eq!(pit.deadline(), None);
}

#[test]
fn gate_triggers_the_hardware_one_shot() {
    let mut pit = PitState::new();
    program(&mut pit, 2, 1, 100, 0);
    assert_eq!(pit.read(0x61, at(50)) & 0x20, 0x20);
    write(&mut pit, 0x61, 0x01, 200);
    assert_eq!(pit.read(0x61, at(201)) & 0x20, 0);
    assert_eq!(pit.read(0x61, at(300)) & 0x20, 0);
    assert_eq!(pit.read(0x61, at(301)) & 0x20, 0x20);
}

#[test]
fn closed_gate_holds_the_square_wave_high_and_opening_restarts_it() {
    let mut pit = PitState::new();
    write(&mut pit, 0x61, 0x01, 0);
    program(&mut pit, 2, 3, 100, 0);
    assert_eq!(pit.read(0x61, at(60)) & 0x20, 0);
    write(&mut pit, 0x61, 0x00, 60);
    assert_eq!(pit.read(0x61, at(61)) & 0x20, 0x20);
    write(&mut pit, 0x61, 0x01, 200);
    assert_eq!(read_count(&mut pit, 2, 211), 80);
}

#[test]
fn refresh_bit_toggles_about_every_15_microseconds() {
    let mut pit = PitState::new();
    let bits = [0, 17, 18, 35, 36].map(|tick| pit.read(0x61, at(tick)) & 0x10);
    assert_eq!(bits, [0, 0, 0x10, 0x10, 0]);
}

#[test]
fn arbitrary_accesses_never_panic_and_deadlines_advance() {
    let mut pit = PitState::new();
    let mut random = 1_u64;
    for step in 0..200_000_u64 {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let now = VirtTime(step.wrapping_mul(random >> 40) << (step % 30));
        let port = [0x40, 0x41, 0x42, 0x43, 0x61][(random >> 33) as usize % 5];
        let mut effects = Vec::new();
        if random >> 63 == 0 {
            pit.read(port, now);
        } else {
            pit.write(port, (random >> 20) as u8, now, &mut effects);
        }
        if let Some(deadline) = pit.deadline() {
            pit.expire(deadline, &mut effects);
            assert!(pit.deadline().is_none_or(|next| next > deadline));
        }
    }
}
