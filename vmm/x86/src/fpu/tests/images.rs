//! The images by themselves: layouts, round trips, and what is refused.

use super::operands::Random;
use crate::fpu::image::{ImageError, MXCSR_MASK};
use crate::fpu::{
    EnvFormat, FXSAVE_SIZE, ImageFormat, Legacy, XSAVE_SIZE, XsaveKind, emms, fxrstor, fxsave,
    load_environment, mmx_enter, mmx_read, mmx_write, restore, save, store_environment, xrstor,
    xsave,
};
use crate::state::X87;

const LONG: ImageFormat = ImageFormat {
    wide_pointers: true,
    long_mode: true,
};

/// What XCR0 enables in these tests.
const ENABLED: u64 = 3;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unit {
    pub x87: X87,
    pub xmm: [[u64; 2]; 16],
    pub mxcsr: u32,
}

impl Unit {
    pub(super) fn legacy(&mut self) -> Legacy<'_> {
        Legacy {
            x87: &mut self.x87,
            xmm: &mut self.xmm,
            mxcsr: &mut self.mxcsr,
        }
    }
}

/// A unit in its initial state.
pub(super) fn initial() -> Unit {
    Unit {
        x87: X87::default(),
        xmm: [[0; 2]; 16],
        mxcsr: 0x1f80,
    }
}

fn busy(random: &mut Random) -> Unit {
    let mut state = initial();
    state.x87 = random.state();
    state.x87.opcode = 0x5aa;
    state.x87.ip = random.next();
    state.x87.dp = random.next();
    state.xmm = std::array::from_fn(|_| [random.next(), random.next()]);
    state.mxcsr = random.next() as u32 & MXCSR_MASK;
    state
}

fn saved(state: &Unit, kind: XsaveKind, requested: u64) -> [u8; XSAVE_SIZE] {
    let mut area = [0; XSAVE_SIZE];
    xsave(
        &state.clone().legacy(),
        kind,
        LONG,
        requested & ENABLED,
        &mut area,
    );
    area
}

#[test]
fn fxsave_round_trips_everything_in_long_mode() {
    let mut random = Random(11);
    for _ in 0..200 {
        let before = busy(&mut random);
        let mut area = [0xee; FXSAVE_SIZE];
        fxsave(&before.clone().legacy(), LONG, true, &mut area);
        assert!(
            area[416..].iter().all(|byte| *byte == 0xee),
            "reserved and software bytes stay"
        );
        let mut after = initial();
        fxrstor(&mut after.legacy(), LONG, true, &area).expect("valid");
        assert_eq!(
            (after.x87, after.xmm, after.mxcsr),
            (before.x87, before.xmm, before.mxcsr)
        );
    }
}

#[test]
fn fxsave_outside_long_mode_leaves_the_upper_registers_and_pointer_halves_out() {
    let before = busy(&mut Random(12));
    let format = ImageFormat {
        wide_pointers: false,
        long_mode: false,
    };
    let mut area = [0xee; FXSAVE_SIZE];
    fxsave(&before.clone().legacy(), format, true, &mut area);
    assert!(area[160 + 128..].iter().all(|byte| *byte == 0xee));
    assert_eq!(area[12..16], [0; 4]);
    let mut after = initial();
    fxrstor(&mut after.legacy(), format, true, &area).expect("valid");
    assert_eq!(after.xmm[..8], before.xmm[..8]);
    assert_eq!(after.xmm[8..], [[0; 2]; 8]);
    assert_eq!(after.x87.ip, before.x87.ip & 0xffff_ffff);
}

#[test]
fn fxrstor_refuses_reserved_mxcsr_bits_and_changes_nothing() {
    let before = busy(&mut Random(13));
    let mut area = [0; FXSAVE_SIZE];
    fxsave(&before.clone().legacy(), LONG, true, &mut area);
    area[26] = 1;
    let mut after = initial();
    let mxcsr = before.mxcsr | 0x1_0000;
    assert_eq!(
        fxrstor(&mut after.legacy(), LONG, true, &area),
        Err(ImageError::Mxcsr(mxcsr))
    );
    assert_eq!(after, initial());
}

#[test]
fn environments_round_trip_in_every_layout() {
    let mut random = Random(14);
    for (wide, real) in [(false, false), (false, true), (true, false), (true, true)] {
        let format = EnvFormat { wide, real };
        let bits = match (wide, real) {
            (true, _) => 32,
            (false, true) => 20,
            (false, false) => 16,
        };
        for _ in 0..100 {
            let mut before = busy(&mut random).x87;
            before.ip &= (1 << bits) - 1;
            before.dp &= (1 << bits) - 1;
            if !wide && !real {
                before.opcode = 0;
            }
            let mut bytes = [0; 108];
            save(&mut before.clone(), format, &mut bytes);
            let mut after = X87::default();
            restore(&mut after, format, &bytes[..format.save_size()]);
            assert_eq!(after, before, "{format:?}");
            let mut environment = X87 {
                regs: before.regs,
                ..X87::default()
            };
            load_environment(&mut environment, format, &bytes);
            assert_eq!(environment, before, "{format:?}");
        }
    }
}

#[test]
fn storing_the_environment_masks_and_saving_initialises() {
    let mut fpu = X87 {
        control: 0x340,
        status: 0x8081,
        ..X87::default()
    };
    store_environment(
        &mut fpu,
        EnvFormat {
            wide: true,
            real: false,
        },
        &mut [0; 28],
    );
    assert_eq!((fpu.control, fpu.status), (0x37f, 0x0001));
    save(
        &mut fpu,
        EnvFormat {
            wide: false,
            real: false,
        },
        &mut [0; 94],
    );
    assert_eq!(fpu, X87::default());
}

#[test]
fn xsave_and_xrstor_round_trip_in_every_format() {
    let mut random = Random(15);
    for kind in [
        XsaveKind::Standard,
        XsaveKind::Optimized,
        XsaveKind::Compacted,
    ] {
        let before = busy(&mut random);
        let area = saved(&before, kind, u64::MAX);
        let mut after = busy(&mut random);
        xrstor(&mut after.legacy(), LONG, ENABLED, u64::MAX, &area).expect("valid");
        assert_eq!(
            (after.x87, after.xmm, after.mxcsr),
            (before.x87, before.xmm, before.mxcsr),
            "{kind:?}"
        );
    }
}

#[test]
fn xsave_touches_only_what_was_requested() {
    let before = busy(&mut Random(16));
    let mut area = [0xee; XSAVE_SIZE];
    area[512..].fill(0);
    area[512] = 2;
    xsave(
        &before.clone().legacy(),
        XsaveKind::Standard,
        LONG,
        1,
        &mut area,
    );
    assert_eq!(
        area[512], 3,
        "the bit of the component that was not requested stays"
    );
    assert!(
        area[24..32]
            .iter()
            .chain(&area[160..512])
            .all(|byte| *byte == 0xee)
    );
    let mut area = [0xee; XSAVE_SIZE];
    area[512..].fill(0);
    xsave(
        &before.clone().legacy(),
        XsaveKind::Standard,
        LONG,
        2,
        &mut area,
    );
    assert_eq!(area[512], 2);
    assert!(
        area[..24]
            .iter()
            .chain(&area[32..160])
            .all(|byte| *byte == 0xee)
    );
    assert_eq!(area[24..28], before.mxcsr.to_le_bytes());
}

#[test]
fn optimized_saves_leave_initial_components_unwritten() {
    let mut area = [0xee; XSAVE_SIZE];
    area[512..].fill(0);
    xsave(
        &initial().legacy(),
        XsaveKind::Optimized,
        LONG,
        3,
        &mut area,
    );
    assert_eq!(area[512], 0);
    assert!(
        area[..24]
            .iter()
            .chain(&area[32..512])
            .all(|byte| *byte == 0xee)
    );
    assert_eq!(area[24..28], 0x1f80_u32.to_le_bytes());
    let standard = saved(&initial(), XsaveKind::Standard, 3);
    assert_eq!(
        standard[..2],
        0x37f_u16.to_le_bytes(),
        "the plain form writes them"
    );
    assert_eq!(standard[512], 0);
}

#[test]
fn compacted_saves_count_a_changed_mxcsr_as_sse_state() {
    let mut state = initial();
    state.mxcsr = 0x1fa0;
    let area = saved(&state, XsaveKind::Compacted, 3);
    assert_eq!(area[512], 2);
    assert_eq!(area[520..528], (3u64 | 1 << 63).to_le_bytes());
    assert_eq!(area[24..28], 0x1fa0_u32.to_le_bytes());
    assert_eq!(saved(&state, XsaveKind::Optimized, 3)[512], 0);
}

#[test]
fn xrstor_initialises_components_that_the_header_lacks() {
    let area = saved(&initial(), XsaveKind::Compacted, 3);
    let mut state = busy(&mut Random(17));
    xrstor(&mut state.legacy(), LONG, ENABLED, 3, &area).expect("valid");
    assert_eq!(
        (state.x87, state.xmm, state.mxcsr),
        (X87::default(), [[0; 2]; 16], 0x1f80)
    );
    // The standard format loads MXCSR even so.
    let mut area = [0; XSAVE_SIZE];
    area[24..28].copy_from_slice(&0x1fbf_u32.to_le_bytes());
    let mut state = busy(&mut Random(18));
    xrstor(&mut state.legacy(), LONG, ENABLED, 2, &area).expect("valid");
    assert_eq!((state.xmm, state.mxcsr), ([[0; 2]; 16], 0x1fbf));
    assert_ne!(state.x87, X87::default(), "x87 was not requested");
}

#[test]
fn xrstor_refuses_invalid_headers() {
    let state = busy(&mut Random(19));
    let (standard, compacted) = (
        saved(&state, XsaveKind::Standard, 3),
        saved(&state, XsaveKind::Compacted, 1),
    );
    let refused = |area: &[u8], at: usize, value: u8| {
        let mut area = area.to_vec();
        area[at] = value;
        let mut after = state.clone();
        let result = xrstor(&mut after.legacy(), LONG, ENABLED, 3, &area);
        assert_eq!(after, state, "a refusal changes nothing");
        result
    };
    assert_eq!(
        refused(&standard, 512, 7),
        Err(ImageError::Header),
        "a component that XCR0 lacks"
    );
    assert_eq!(
        refused(&standard, 520, 1),
        Err(ImageError::Header),
        "XCOMP_BV in the standard format"
    );
    assert_eq!(
        refused(&standard, 528, 1),
        Err(ImageError::Header),
        "reserved bytes 16 to 23"
    );
    assert_eq!(
        refused(&standard, 540, 1),
        Ok(()),
        "the standard format ignores the rest"
    );
    assert_eq!(
        refused(&compacted, 512, 2),
        Err(ImageError::Header),
        "present but not in XCOMP_BV"
    );
    assert_eq!(
        refused(&compacted, 520, 5),
        Err(ImageError::Header),
        "XCOMP_BV names what XCR0 lacks"
    );
    assert_eq!(
        refused(&compacted, 570, 1),
        Err(ImageError::Header),
        "reserved bytes 16 to 63"
    );
    assert!(matches!(
        refused(&standard, 27, 1),
        Err(ImageError::Mxcsr(_))
    ));
}

#[test]
fn mmx_shares_the_registers() {
    let mut fpu = Random(20).state();
    let regs = fpu.regs;
    mmx_enter(&mut fpu);
    assert_eq!((fpu.status & 0x3800, fpu.regs), (0, regs));
    assert!((0..8).all(|i| fpu.tag >> (2 * i) & 3 != 3));
    mmx_write(&mut fpu, 5, 0x1122_3344_5566_7788);
    assert_eq!(mmx_read(&fpu, 5), 0x1122_3344_5566_7788);
    assert_eq!(fpu.regs[5].sign_exponent, 0xffff);
    emms(&mut fpu);
    assert_eq!(
        (fpu.tag, mmx_read(&fpu, 5)),
        (0xffff, 0x1122_3344_5566_7788)
    );
}
