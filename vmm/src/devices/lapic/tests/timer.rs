//! The timer.

use super::*;

#[test]
fn one_shot_expires_at_the_exact_nanosecond_and_once() {
    let mut lapic = enabled(0);
    write(&mut lapic, DIVIDE, 0b0011);
    write(&mut lapic, LVT, 0xec);
    // 1,000 counts of 16 ticks of 40 ns.
    write_at(&mut lapic, INITIAL_COUNT, 1_000, VirtTime(7));
    assert_eq!(lapic.deadline(), Some(VirtTime(640_007)));
    assert_eq!(lapic.read(CURRENT_COUNT, VirtTime(7)), 1_000);
    assert_eq!(lapic.read(CURRENT_COUNT, VirtTime(646)), 1_000);
    assert_eq!(lapic.read(CURRENT_COUNT, VirtTime(647)), 999);
    lapic.expire(VirtTime(640_006));
    assert_eq!(lapic.pending(), None);
    lapic.expire(VirtTime(640_007));
    assert_eq!(take(&mut lapic), 0xec);
    assert_eq!(lapic.deadline(), None);
    assert_eq!(lapic.read(CURRENT_COUNT, VirtTime(640_007)), 0);
    assert_eq!(lapic.read(INITIAL_COUNT, VirtTime(640_007)), 1_000);
    write(&mut lapic, EOI, 0);
    lapic.expire(VirtTime(99_000_000));
    assert_eq!(lapic.pending(), None);
}

#[test]
fn periods_do_not_drift_when_a_tick_is_no_whole_nanosecond() {
    let mut lapic = LapicState::new(0, 24_000_000, TscClock::new(TSC_KHZ));
    write(&mut lapic, SVR, 0x1ff);
    write(&mut lapic, DIVIDE, 0b1011);
    write(&mut lapic, LVT, 0x2_00ec);
    write(&mut lapic, INITIAL_COUNT, 1);
    let mut moments = Vec::new();
    for _ in 0..6 {
        let moment = lapic.deadline().unwrap();
        moments.push(moment.0);
        lapic.expire(moment);
        assert_eq!(take(&mut lapic), 0xec);
        write_at(&mut lapic, EOI, 0, moment);
    }
    assert_eq!(moments, [42, 84, 125, 167, 209, 250]);
    lapic.expire(VirtTime(1_000_000_000));
    assert_eq!(lapic.deadline(), Some(VirtTime(1_000_000_042)));
}

#[test]
fn periods_that_passed_unseen_make_one_interrupt() {
    let mut lapic = enabled(0);
    write(&mut lapic, DIVIDE, 0b1011);
    write(&mut lapic, LVT, 0x2_00ec);
    write(&mut lapic, INITIAL_COUNT, 100);
    lapic.expire(VirtTime(10_500 * 4));
    assert_eq!(take(&mut lapic), 0xec);
    assert_eq!(lapic.pending(), None);
    assert_eq!(lapic.deadline(), Some(VirtTime(44_000)));
    assert_eq!(lapic.read(CURRENT_COUNT, VirtTime(42_000)), 50);
}

#[test]
fn every_divide_configuration_divides_as_the_manual_says() {
    let codes = [
        0b0000, 0b0001, 0b0010, 0b0011, 0b1000, 0b1001, 0b1010, 0b1011,
    ];
    let deadlines = codes.map(|code| {
        let mut lapic = enabled(0);
        write(&mut lapic, DIVIDE, code);
        write(&mut lapic, LVT, 0xec);
        write(&mut lapic, INITIAL_COUNT, 1);
        lapic.deadline().unwrap().0 / 40
    });
    assert_eq!(deadlines, [2, 4, 8, 16, 32, 64, 128, 1]);
}

#[test]
fn changing_the_divisor_keeps_the_rest_of_the_count() {
    let mut lapic = enabled(0);
    write(&mut lapic, DIVIDE, 0b1011);
    write(&mut lapic, LVT, 0xec);
    write(&mut lapic, INITIAL_COUNT, 100);
    write_at(&mut lapic, DIVIDE, 0b0000, VirtTime(60 * 40));
    assert_eq!(lapic.deadline(), Some(VirtTime(60 * 40 + 40 * 80)));
}

#[test]
fn masked_timer_counts_without_interrupt_or_deadline() {
    let mut lapic = enabled(0);
    write(&mut lapic, DIVIDE, 0b1011);
    write(&mut lapic, LVT, 0x1_00ec);
    write(&mut lapic, INITIAL_COUNT, 100);
    assert_eq!(lapic.deadline(), None);
    assert_eq!(lapic.read(CURRENT_COUNT, VirtTime(400)), 90);
    // It expired while masked, which unmasking does not make up for.
    write_at(&mut lapic, LVT, 0xec, VirtTime(5_000));
    lapic.expire(VirtTime(6_000));
    assert_eq!(lapic.pending(), None);
}

#[test]
fn zero_initial_count_stops_the_timer() {
    let mut lapic = enabled(0);
    write(&mut lapic, LVT, 0xec);
    write(&mut lapic, INITIAL_COUNT, 100);
    write(&mut lapic, INITIAL_COUNT, 0);
    assert_eq!(lapic.deadline(), None);
}

#[test]
fn tsc_deadline_expires_when_the_counter_reaches_it() {
    let mut lapic = enabled(0);
    write(&mut lapic, LVT, 0x4_00ec);
    assert!(write_msr(&mut lapic, TSC_DEADLINE, 3_001));
    assert_eq!(lapic.read_msr(TSC_DEADLINE, START), Some(3_001));
    assert_eq!(lapic.deadline(), Some(VirtTime(1_001)));
    lapic.expire(VirtTime(1_000));
    assert_eq!(lapic.pending(), None);
    lapic.expire(VirtTime(1_001));
    assert_eq!(lapic.pending(), Some(0xec));
    assert_eq!(lapic.read_msr(TSC_DEADLINE, VirtTime(1_001)), Some(0));
    assert_eq!(lapic.deadline(), None);
}

#[test]
fn tsc_deadline_of_the_past_expires_at_once_and_zero_disarms() {
    let mut lapic = enabled(0);
    write(&mut lapic, LVT, 0x4_00ec);
    assert!(lapic.write_msr(TSC_DEADLINE, 5_000, VirtTime(10), &mut Vec::new()));
    assert!(lapic.write_msr(TSC_DEADLINE, 0, VirtTime(10), &mut Vec::new()));
    assert_eq!(lapic.deadline(), None);
    assert_eq!(lapic.pending(), None);
    assert!(lapic.write_msr(TSC_DEADLINE, 30, VirtTime(10), &mut Vec::new()));
    assert_eq!(lapic.pending(), Some(0xec));
}

#[test]
fn tsc_deadline_belongs_to_its_mode_alone() {
    let mut lapic = enabled(0);
    write(&mut lapic, LVT, 0xec);
    assert!(write_msr(&mut lapic, TSC_DEADLINE, 3_000));
    assert_eq!(lapic.read_msr(TSC_DEADLINE, START), Some(0));
    write(&mut lapic, INITIAL_COUNT, 100);
    write(&mut lapic, LVT, 0x4_00ec);
    assert_eq!(lapic.deadline(), None);
    write(&mut lapic, INITIAL_COUNT, 50);
    assert_eq!(lapic.read(INITIAL_COUNT, START), 100);
    assert!(write_msr(&mut lapic, TSC_DEADLINE, 3_000));
    write(&mut lapic, LVT, 0xec);
    assert_eq!(lapic.deadline(), None);
    assert_eq!(lapic.read_msr(TSC_DEADLINE, START), Some(0));
}

#[test]
fn moved_time_stamp_counter_moves_the_deadline() {
    let mut lapic = enabled(0);
    write(&mut lapic, LVT, 0x4_00ec);
    assert!(write_msr(&mut lapic, TSC_DEADLINE, 30_000));
    lapic.set_tsc(
        TscClock {
            khz: TSC_KHZ,
            offset: 15_000,
        },
        VirtTime(100),
    );
    assert_eq!(lapic.deadline(), Some(VirtTime(5_000)));
}
