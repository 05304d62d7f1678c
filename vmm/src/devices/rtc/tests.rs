use super::*;

const SECOND_NANOS: u64 = 1_000_000_000;

fn seconds(seconds: u64) -> VirtTime {
    VirtTime(seconds * SECOND_NANOS)
}

fn read(clock: &mut RtcState, index: u8, now: VirtTime) -> u8 {
    let mut effects = Vec::new();
    clock.write(0x70, index, now, &mut effects);
    clock.read(0x71, now, &mut effects)
}

fn write(clock: &mut RtcState, index: u8, value: u8, now: VirtTime) -> Vec<Effect> {
    let mut effects = Vec::new();
    clock.write(0x70, index, now, &mut effects);
    clock.write(0x71, value, now, &mut effects);
    effects
}

/// Century, year, month, day, hour, minute and second as the registers show them.
fn shown(clock: &mut RtcState, now: VirtTime) -> [u8; 7] {
    [CENTURY, YEAR, MONTH, DAY, HOUR, MINUTE, SECOND].map(|index| read(clock, index, now))
}

fn line(asserted: bool) -> [Effect; 1] {
    [Effect::Irq { line: 8, asserted }]
}

/// Steps the clock to its deadline, at which the line must rise, and acknowledges. Returns the
/// moment and register C.
fn interrupt(clock: &mut RtcState) -> (u64, u8) {
    let moment = clock.deadline().expect("no deadline");
    let mut effects = Vec::new();
    clock.expire(VirtTime(moment.0 - 1), &mut effects);
    assert_eq!(effects, []);
    clock.expire(moment, &mut effects);
    assert_eq!(effects, line(true));
    assert_eq!(clock.deadline(), None);
    let flags = read(clock, C, moment);
    assert_eq!(read(clock, C, moment), 0);
    (moment.0, flags)
}

#[test]
fn power_on_time_is_the_epoch_in_bcd() {
    let mut clock = RtcState::new(DEFAULT_EPOCH);
    assert_eq!(shown(&mut clock, seconds(0)), [0x20, 0x24, 1, 1, 0, 0, 0]);
    assert_eq!(read(&mut clock, WEEKDAY, seconds(0)), 2);
    assert_eq!(read(&mut clock, A, seconds(0)), 0x26);
    assert_eq!(read(&mut clock, B, seconds(0)), 0x02);
    assert_eq!(read(&mut clock, D, seconds(0)), 0x80);
}

#[test]
fn time_follows_virtual_time_over_a_leap_day() {
    // 2024-02-28T23:59:59Z.
    let mut clock = RtcState::new(1_709_164_799);
    assert_eq!(
        shown(&mut clock, VirtTime(SECOND_NANOS - 1)),
        [0x20, 0x24, 2, 0x28, 0x23, 0x59, 0x59]
    );
    assert_eq!(
        shown(&mut clock, seconds(1)),
        [0x20, 0x24, 2, 0x29, 0, 0, 0]
    );
    assert_eq!(
        shown(&mut clock, seconds(86_401)),
        [0x20, 0x24, 3, 1, 0, 0, 0]
    );
    assert_eq!(read(&mut clock, WEEKDAY, seconds(86_401)), 6);
}

#[test]
fn dates_and_unix_seconds_are_inverse() {
    let date = |year, month, day| Date {
        year,
        month,
        day,
        hour: 12,
        minute: 34,
        second: 56,
    };
    for (unix, date) in [
        (45_296, date(1970, 1, 1)),
        (951_827_696, date(2000, 2, 29)),
        (951_914_096, date(2000, 3, 1)),
        (978_266_096, date(2000, 12, 31)),
        (4_107_587_696, date(2100, 3, 1)),
        (-2_203_932_304, date(1900, 2, 28)),
    ] {
        assert_eq!(Date::of_unix(unix), date);
        assert_eq!(date.to_unix(), unix);
    }
    for day in (-700_000..2_900_000).step_by(13) {
        assert_eq!(Date::of_unix(day * 86_400).to_unix(), day * 86_400);
    }
    assert_eq!(Date::of_unix(i64::MAX).year, 9999);
    assert_eq!(Date::of_unix(i64::MIN).year, 0);
}

#[test]
fn binary_and_twelve_hour_modes_change_the_encoding() {
    // 2024-01-01T15:45:59Z.
    let mut clock = RtcState::new(DEFAULT_EPOCH + 56_759);
    let now = seconds(0);
    write(&mut clock, B, B_BINARY | B_24_HOURS, now);
    assert_eq!(shown(&mut clock, now), [20, 24, 1, 1, 15, 45, 59]);
    write(&mut clock, B, B_BINARY, now);
    assert_eq!(read(&mut clock, HOUR, now), 0x83);
    write(&mut clock, B, 0, now);
    assert_eq!(read(&mut clock, HOUR, now), 0x83);
    assert_eq!(read(&mut clock, MINUTE, now), 0x45);
    let hours = [(0x12, 0), (0x01, 1), (0x11, 11), (0x92, 12), (0x91, 23)];
    for (register, hour) in hours {
        write(&mut clock, B, 0, now);
        write(&mut clock, HOUR, register, now);
        assert_eq!(read(&mut clock, HOUR, now), register);
        write(&mut clock, B, B_BINARY | B_24_HOURS, now);
        assert_eq!(read(&mut clock, HOUR, now), hour);
    }
}

#[test]
fn update_in_progress_is_short_and_before_the_update() {
    let mut clock = RtcState::new(DEFAULT_EPOCH);
    let updating = |clock: &mut RtcState, nanos| read(clock, A, VirtTime(nanos)) & A_UPDATING != 0;
    assert!(!updating(&mut clock, SECOND_NANOS - 244_001));
    assert!(updating(&mut clock, SECOND_NANOS - 244_000));
    assert!(updating(&mut clock, SECOND_NANOS - 1));
    assert!(!updating(&mut clock, SECOND_NANOS));
    write(&mut clock, B, B_SET | B_24_HOURS, seconds(2));
    assert!(!updating(&mut clock, 3 * SECOND_NANOS - 1));
}

#[test]
fn setting_the_clock_holds_it_and_goes_on_from_what_was_set() {
    let mut clock = RtcState::new(DEFAULT_EPOCH);
    let now = VirtTime(10 * SECOND_NANOS + 300_000_000);
    write(&mut clock, B, B_SET | B_24_HOURS, now);
    for (index, value) in [
        (SECOND, 0x58),
        (MINUTE, 0x59),
        (HOUR, 0x23),
        (DAY, 0x31),
        (MONTH, 0x12),
        (YEAR, 0x99),
        (CENTURY, 0x19),
    ] {
        write(&mut clock, index, value, now);
    }
    let held = [0x19, 0x99, 0x12, 0x31, 0x23, 0x59, 0x58];
    assert_eq!(shown(&mut clock, seconds(14)), held);
    write(&mut clock, B, B_24_HOURS, seconds(14));
    assert_eq!(shown(&mut clock, seconds(14)), held);
    assert_eq!(shown(&mut clock, seconds(16)), [0x20, 0, 1, 1, 0, 0, 0]);
}

#[test]
fn first_update_after_a_divider_reset_comes_half_a_second_later() {
    let mut clock = RtcState::new(DEFAULT_EPOCH);
    let now = VirtTime(5 * SECOND_NANOS + 123);
    // The order in which Linux sets the clock.
    write(&mut clock, B, B_SET | B_24_HOURS, now);
    write(&mut clock, A, 0x76, now);
    write(&mut clock, SECOND, 0x30, now);
    write(&mut clock, B, B_24_HOURS, now);
    assert_eq!(read(&mut clock, SECOND, seconds(60)), 0x30);
    let released = VirtTime(60 * SECOND_NANOS + 77);
    write(&mut clock, A, 0x26, released);
    assert_eq!(
        read(&mut clock, SECOND, VirtTime(released.0 + 499_999_999)),
        0x30
    );
    assert_eq!(
        read(&mut clock, SECOND, VirtTime(released.0 + 500_000_000)),
        0x31
    );
    assert_eq!(
        read(&mut clock, SECOND, VirtTime(released.0 + 1_500_000_000)),
        0x32
    );
}

#[test]
fn values_that_no_clock_shows_become_the_nearest() {
    let mut clock = RtcState::new(DEFAULT_EPOCH);
    let now = seconds(0);
    for index in [SECOND, MINUTE, HOUR, DAY, MONTH, YEAR, CENTURY] {
        write(&mut clock, index, 0xff, now);
    }
    assert_eq!(
        shown(&mut clock, now),
        [0x99, 0x99, 0x12, 0x31, 0x23, 0x59, 0x59]
    );
    write(&mut clock, DAY, 0, now);
    write(&mut clock, MONTH, 0, now);
    assert_eq!(read(&mut clock, MONTH, now), 1);
    assert_eq!(read(&mut clock, DAY, now), 1);
}

#[test]
fn update_interrupt_comes_each_second() {
    let mut clock = RtcState::new(DEFAULT_EPOCH);
    write(&mut clock, B, B_24_HOURS | FLAG_UPDATE, VirtTime(100));
    assert_eq!(
        interrupt(&mut clock),
        (SECOND_NANOS, C_REQUEST | FLAG_UPDATE | FLAG_PERIODIC)
    );
    assert_eq!(interrupt(&mut clock).0, 2 * SECOND_NANOS);
}

#[test]
fn reading_register_c_lowers_the_line() {
    let mut clock = RtcState::new(DEFAULT_EPOCH);
    write(&mut clock, B, B_24_HOURS | FLAG_UPDATE, VirtTime(0));
    let mut effects = Vec::new();
    clock.expire(seconds(1), &mut effects);
    clock.write(0x70, C, seconds(1), &mut effects);
    clock.read(0x71, seconds(1), &mut effects);
    assert_eq!(effects, [line(true), line(false)].concat());
}

#[test]
fn periodic_interrupt_keeps_its_rate_without_drift() {
    let mut clock = RtcState::new(DEFAULT_EPOCH);
    write(&mut clock, B, B_24_HOURS | FLAG_PERIODIC, VirtTime(0));
    // Rate 6 is 1,024 Hz.
    assert_eq!(interrupt(&mut clock).0, 976_563);
    assert_eq!(interrupt(&mut clock).0, 1_953_125);
    assert_eq!(interrupt(&mut clock).0, 2_929_688);
    let hz = [(1, 256), (2, 128), (3, 8_192), (15, 2)];
    for (rate, hz) in hz {
        let mut clock = RtcState::new(DEFAULT_EPOCH);
        write(&mut clock, A, A_DIVIDER_RUNS | rate, VirtTime(0));
        write(&mut clock, B, B_24_HOURS | FLAG_PERIODIC, VirtTime(0));
        assert_eq!(
            clock.deadline(),
            Some(VirtTime(SECOND_NANOS.div_ceil(hz))),
            "rate {rate}"
        );
    }
    write(&mut clock, A, A_DIVIDER_RUNS, VirtTime(3_000_000));
    assert_eq!(clock.deadline(), None);
}

#[test]
fn flags_rise_without_interrupt_while_disabled() {
    let mut clock = RtcState::new(DEFAULT_EPOCH);
    assert_eq!(clock.deadline(), None);
    assert_eq!(read(&mut clock, C, seconds(5)), FLAG_UPDATE | FLAG_PERIODIC);
    assert_eq!(read(&mut clock, C, seconds(5)), 0);
    // The alarm registers of a new clock name midnight.
    assert_eq!(read(&mut clock, C, seconds(86_400)), FLAGS);
    // A flag that is up already interrupts as soon as it is enabled.
    assert_eq!(
        write(&mut clock, B, B_24_HOURS | FLAG_UPDATE, seconds(86_407)),
        line(true)
    );
}

#[test]
fn alarm_comes_at_the_time_of_day_that_was_set() {
    let mut clock = RtcState::new(DEFAULT_EPOCH);
    for (index, value) in [
        (HOUR_ALARM, 0x13),
        (MINUTE_ALARM, 0x07),
        (SECOND_ALARM, 0x05),
    ] {
        write(&mut clock, index, value, VirtTime(0));
    }
    write(&mut clock, B, B_24_HOURS | FLAG_ALARM, VirtTime(0));
    let first = 13 * 3_600 + 7 * 60 + 5;
    assert_eq!(interrupt(&mut clock).0, first * SECOND_NANOS);
    assert_eq!(interrupt(&mut clock).0, (first + 86_400) * SECOND_NANOS);
}

#[test]
fn alarm_that_does_not_care_comes_more_often() {
    let mut clock = RtcState::new(DEFAULT_EPOCH);
    for (index, value) in [
        (HOUR_ALARM, 0xff),
        (MINUTE_ALARM, 0xc0),
        (SECOND_ALARM, 0x30),
    ] {
        write(&mut clock, index, value, VirtTime(0));
    }
    write(&mut clock, B, B_24_HOURS | FLAG_ALARM, VirtTime(0));
    assert_eq!(interrupt(&mut clock).0, 30 * SECOND_NANOS);
    assert_eq!(interrupt(&mut clock).0, 90 * SECOND_NANOS);
    write(&mut clock, SECOND_ALARM, 0xff, seconds(90));
    assert_eq!(interrupt(&mut clock).0, 91 * SECOND_NANOS);
}

#[test]
fn alarm_understands_the_twelve_hour_mode_and_ignores_nonsense() {
    let mut clock = RtcState::new(DEFAULT_EPOCH);
    write(&mut clock, B, FLAG_ALARM, VirtTime(0));
    write(&mut clock, HOUR_ALARM, 0x92, VirtTime(0));
    assert_eq!(clock.deadline(), Some(seconds(12 * 3_600)));
    write(&mut clock, SECOND_ALARM, 0x60, VirtTime(0));
    assert_eq!(clock.deadline(), None);
    write(&mut clock, SECOND_ALARM, 0x1f, VirtTime(0));
    assert_eq!(clock.deadline(), None);
}

#[test]
fn held_clock_has_no_updates_and_forgets_the_update_interrupt() {
    let mut clock = RtcState::new(DEFAULT_EPOCH);
    write(
        &mut clock,
        B,
        B_SET | B_24_HOURS | FLAG_UPDATE | FLAG_ALARM,
        VirtTime(0),
    );
    assert_eq!(
        read(&mut clock, B, VirtTime(0)),
        B_SET | B_24_HOURS | FLAG_ALARM
    );
    assert_eq!(clock.deadline(), None);
    assert_eq!(read(&mut clock, C, seconds(3)) & FLAG_UPDATE, 0);
}

#[test]
fn cmos_ram_keeps_what_is_written_and_registers_c_and_d_do_not() {
    let mut clock = RtcState::new(DEFAULT_EPOCH);
    let now = VirtTime(0);
    for index in (0x0e..0x80).filter(|index| *index != CENTURY) {
        write(&mut clock, index, index ^ 0x5a, now);
    }
    for index in (0x0e..0x80).filter(|index| *index != CENTURY) {
        assert_eq!(read(&mut clock, index | 0x80, now), index ^ 0x5a);
    }
    write(&mut clock, C, 0xff, now);
    write(&mut clock, D, 0, now);
    assert_eq!(read(&mut clock, C, now), 0);
    assert_eq!(read(&mut clock, D, now), 0x80);
}

#[test]
fn arbitrary_accesses_never_panic_and_deadlines_advance() {
    let mut clock = RtcState::new(i64::MAX);
    let mut random = 1_u64;
    for step in 0..100_000_u64 {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let now = VirtTime(step.wrapping_mul(random >> 40) << (step % 30));
        let index = (random >> 33) as u8 & 15;
        if random >> 63 == 0 {
            read(&mut clock, index, now);
        } else {
            write(&mut clock, index, (random >> 20) as u8, now);
        }
        if let Some(deadline) = clock.deadline() {
            clock.expire(deadline, &mut Vec::new());
            assert_eq!(clock.deadline(), None, "the line is up");
        }
    }
}

#[test]
fn a_fraction_of_a_second_is_when_the_next_one_begins() {
    let half = (DEFAULT_EPOCH * NANOS_PER_SECOND) + 300_000_000;
    let mut clock = RtcState::at(half);
    assert_eq!(shown(&mut clock, VirtTime(0))[6], 0x00);
    assert_eq!(shown(&mut clock, VirtTime(699_999_999))[6], 0x00);
    assert_eq!(shown(&mut clock, VirtTime(700_000_000))[6], 0x01);
    let mut before = RtcState::at(-1);
    assert_eq!(
        shown(&mut before, VirtTime(0)),
        [0x19, 0x69, 0x12, 0x31, 0x23, 0x59, 0x59]
    );
    assert_eq!(shown(&mut before, VirtTime(1))[..3], [0x19, 0x70, 0x01]);
}

#[test]
fn jumps_there_and_back_leave_nothing() {
    let mut clock = RtcState::at(DEFAULT_EPOCH * NANOS_PER_SECOND + 1);
    let mut effects = Vec::new();
    let now = seconds(3);
    for by in [20_000_000, -999_999_999, 50 * NANOS_PER_SECOND + 7, 0] {
        clock.shift(by, now, &mut effects);
        clock.shift(-by, now, &mut effects);
    }
    for _ in 0..1000 {
        clock.shift(-1_500_000_000, now, &mut effects);
    }
    clock.shift(1_500 * NANOS_PER_SECOND, now, &mut effects);
    assert_eq!(shown(&mut clock, now)[6], 0x03);
    assert_eq!(shown(&mut clock, VirtTime(now.0 - 2))[6], 0x02);
    assert_eq!(shown(&mut clock, VirtTime(now.0 - 1))[6], 0x03);
    assert_eq!(effects, []);
}
