//! Tests of AVX2 on request. On a host without KVM or without AVX2 they say so and check nothing.

use chaosrun_x86::{CodeStore, CpuModel, CpuState, Exit, Segment};

use super::tests::{NoBus, has_kvm, not_checked};
use crate::engine::{self, Engine, EngineError, EngineKind, EngineOptions};
use crate::ram::GuestRam;

const CODE: u64 = 0x10_0000;
const DATA: u64 = 0x20_0000;
/// Not RAM: what is written there leaves the guest.
const ELSEWHERE: u64 = 0x60_0000;

fn model() -> CpuModel {
    CpuModel {
        avx2: true,
        ..CpuModel::default()
    }
}

/// An engine with AVX2, if this host has one.
fn engine() -> Option<Box<dyn Engine>> {
    if !has_kvm() {
        return None;
    }
    match engine::build(
        EngineKind::Kvm,
        &model(),
        &EngineOptions::default(),
        &CodeStore::default(),
    ) {
        Ok(engine) => Some(engine),
        Err(why @ EngineError::Unavailable { .. }) => {
            not_checked(&why.to_string());
            None
        }
        Err(error) => panic!("{error}"),
    }
}

/// RAM with code, and page tables that let user mode reach the first gigabyte.
fn ram() -> GuestRam {
    let mut ram = GuestRam::new(4 << 20).unwrap();
    assert!(ram.write(0x1000, &0x2007u64.to_le_bytes()));
    assert!(ram.write(0x2000, &0x3007u64.to_le_bytes()));
    for page in 0..512u64 {
        let entry = page << 21 | 0x87;
        assert!(ram.write(0x3000 + page * 8, &entry.to_le_bytes()));
    }
    let code = [
        0xc5, 0xf5, 0xfe, 0xc2, // vpaddd ymm0, ymm1, ymm2
        0xc5, 0xfe, 0x7f, 0x07, // vmovdqu [rdi], ymm0
        0x88, 0x06, // mov [rsi], al
        0xc5, 0xfd, 0xfe, 0xda, // vpaddd ymm3, ymm0, ymm2
        0x88, 0x06, // mov [rsi], al
        0xeb, 0xfe, // jmp .
    ];
    assert!(ram.write(CODE, &code));
    ram
}

/// The lanes of YMM1 and YMM2; in some the sum overflows.
fn lanes(register: u32) -> [u32; 8] {
    std::array::from_fn(|lane| register.wrapping_mul(0x8000_1001) + lane as u32)
}

fn halves(lanes: [u32; 8]) -> [[u64; 2]; 2] {
    let word = |at: usize| u64::from(lanes[at]) | u64::from(lanes[at + 1]) << 32;
    [[word(0), word(2)], [word(4), word(6)]]
}

/// User mode at the code, with YMM1 and YMM2 set.
fn entry(reset: CpuState) -> CpuState {
    let mut state = reset;
    let flat = |selector, access| Segment {
        selector,
        access,
        limit: u32::MAX,
        base: 0,
    };
    state.segments = [flat(0x1b, 0xc0f3); 6];
    state.segments[1] = flat(0x23, 0xa0fb);
    // PE MP ET NE WP PG; PAE OSFXSR OSXMMEXCPT OSXSAVE; SCE LME LMA NXE.
    (state.cr0, state.cr3, state.cr4) = (0x8001_0033, 0x1000, 0x4_0620);
    state.msrs.efer = 0xd01;
    state.xcr0 = 7;
    (state.rip, state.rflags) = (CODE, 2);
    (state.gpr[7], state.gpr[6]) = (DATA, ELSEWHERE);
    for register in [1, 2] {
        let index = register as usize;
        [state.xmm[index], state.ymm_high[index]] = halves(lanes(register));
    }
    state
}

fn digest(engine: &dyn Engine) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut put = |more: &[u8]| bytes.extend_from_slice(more);
    engine.hash_into(0, &mut put).unwrap();
    bytes
}

fn ymm(state: &CpuState, index: usize) -> [[u64; 2]; 2] {
    [state.xmm[index], state.ymm_high[index]]
}

#[test]
fn user_mode_adds_whole_ymm_registers_and_a_restored_vcpu_goes_on() {
    let Some(mut first) = engine() else {
        return;
    };
    let mut ram = ram();
    let start = entry(first.state(0).unwrap());
    first.set_state(0, &start).unwrap();
    assert_eq!(first.state(0).unwrap(), start);
    assert_eq!(first.run(0, &mut ram, &mut NoBus, 1).unwrap(), Exit::Budget);
    let middle = first.state(0).unwrap();
    let sum: [u32; 8] = std::array::from_fn(|at| lanes(1)[at].wrapping_add(lanes(2)[at]));
    assert_eq!(ymm(&middle, 0), halves(sum));
    let mut stored = [0; 32];
    assert!(ram.read(DATA, &mut stored));
    let bytes: Vec<u8> = sum.iter().flat_map(|lane| lane.to_le_bytes()).collect();
    assert_eq!(stored[..], bytes[..]);

    let mut second = engine().expect("there was one");
    second.set_state(0, &middle).unwrap();
    assert_eq!(second.state(0).unwrap(), middle);
    assert_eq!(digest(second.as_ref()), digest(first.as_ref()));
    let on = |engine: &mut dyn Engine, ram: &mut GuestRam| {
        assert_eq!(engine.run(0, ram, &mut NoBus, 1).unwrap(), Exit::Budget);
        engine.state(0).unwrap()
    };
    let end = on(second.as_mut(), &mut ram);
    assert_eq!(on(first.as_mut(), &mut ram), end);
    let more: [u32; 8] = std::array::from_fn(|at| sum[at].wrapping_add(lanes(2)[at]));
    assert_eq!(ymm(&end, 3), halves(more));
}

#[test]
fn the_upper_halves_are_hashed_and_survive_init() {
    let Some(mut engine) = engine() else {
        return;
    };
    let mut state = entry(engine.state(0).unwrap());
    engine.set_state(0, &state).unwrap();
    let before = digest(engine.as_ref());
    state.ymm_high[15][1] ^= 1;
    engine.set_state(0, &state).unwrap();
    assert_ne!(digest(engine.as_ref()), before);
    engine.init(0).unwrap();
    assert_eq!(engine.state(0).unwrap().ymm_high, state.ymm_high);
}

#[test]
fn the_exact_engine_refuses_the_model_and_the_state() {
    let options = EngineOptions::default();
    let refused = engine::build(EngineKind::Exact, &model(), &options, &CodeStore::default()).err();
    assert!(matches!(
        refused,
        Some(EngineError::Lacks {
            engine: "exact",
            ..
        })
    ));
    let mut exact = engine::build(
        EngineKind::Exact,
        &CpuModel::default(),
        &options,
        &CodeStore::default(),
    )
    .unwrap();
    let plain = exact.state(0).unwrap();
    let mut upper = plain.clone();
    upper.ymm_high[3][0] = 1;
    let mut enabled = plain.clone();
    enabled.xcr0 = 7;
    for state in [upper, enabled] {
        let refused = exact.set_state(0, &state);
        assert!(matches!(refused, Err(EngineError::Lacks { .. })));
        assert_eq!(exact.state(0).unwrap(), plain);
    }
}
