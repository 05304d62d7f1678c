//! No x87 instruction form is forgotten.

use super::{decode, encodings};
use crate::fpu::forms;
use iced_x86::{Code, CpuidFeature, Decoder, DecoderOptions};
use std::collections::BTreeSet;

/// Forms that are deliberately not here, and why.
const EXCEPTIONS: [(Code, &str); 18] = [
    (Code::Wait, "FWAIT is executed by the integer core"),
    (
        Code::Fstenv_m14byte,
        "FWAIT and an FN form; no decoder gives it",
    ),
    (
        Code::Fstenv_m28byte,
        "FWAIT and an FN form; no decoder gives it",
    ),
    (
        Code::Fstcw_m2byte,
        "FWAIT and an FN form; no decoder gives it",
    ),
    (Code::Feni, "FWAIT and an FN form; no decoder gives it"),
    (Code::Fdisi, "FWAIT and an FN form; no decoder gives it"),
    (Code::Fclex, "FWAIT and an FN form; no decoder gives it"),
    (Code::Finit, "FWAIT and an FN form; no decoder gives it"),
    (Code::Fsetpm, "FWAIT and an FN form; no decoder gives it"),
    (
        Code::Fsave_m94byte,
        "FWAIT and an FN form; no decoder gives it",
    ),
    (
        Code::Fsave_m108byte,
        "FWAIT and an FN form; no decoder gives it",
    ),
    (
        Code::Fstsw_m2byte,
        "FWAIT and an FN form; no decoder gives it",
    ),
    (Code::Fstsw_AX, "FWAIT and an FN form; no decoder gives it"),
    (Code::Fstdw_AX, "only the 387SL had it"),
    (Code::Fstsg_AX, "only the 387SL had it"),
    (Code::Fnstdw_AX, "only the 387SL had it"),
    (Code::Fnstsg_AX, "only the 387SL had it"),
    (Code::Frstpm, "only the 287XL had it"),
];

/// Whether Intel or AMD have or had it. Cyrix's own instructions do not count.
fn is_x87(code: Code) -> bool {
    code.cpuid_features().iter().any(|feature| {
        matches!(
            feature,
            CpuidFeature::FPU
                | CpuidFeature::FPU287
                | CpuidFeature::FPU287XL_ONLY
                | CpuidFeature::FPU387
                | CpuidFeature::FPU387SL_ONLY
        )
    })
}

#[test]
fn every_x87_code_is_handled_or_a_written_exception() {
    let handled: BTreeSet<_> = forms().map(|code| code as usize).collect();
    let excepted: BTreeSet<_> = EXCEPTIONS.iter().map(|(code, _)| *code as usize).collect();
    let expected: BTreeSet<_> = Code::values()
        .filter(|code| is_x87(*code))
        .map(|code| code as usize)
        .collect();
    let name = |index: &usize| Code::try_from(*index).map(|code| format!("{code:?}"));
    let missing: Vec<_> = expected
        .iter()
        .filter(|c| !handled.contains(c) && !excepted.contains(c))
        .map(name)
        .collect();
    let both: Vec<_> = handled.intersection(&excepted).map(name).collect();
    assert!(
        missing.is_empty(),
        "neither handled nor excepted: {missing:?}"
    );
    assert!(both.is_empty(), "handled and excepted: {both:?}");
    assert!(handled.len() > 150, "{}", handled.len());
}

#[test]
fn every_encoding_that_decodes_is_handled() {
    let handled: BTreeSet<_> = forms().map(|code| code as usize).collect();
    for (first, modrm) in
        (0xd8..=0xdf).flat_map(|first: u8| (0..=0xff).map(move |modrm: u8| (first, modrm)))
    {
        for bitness in [16, 32, 64] {
            let bytes = [first, modrm, 0, 0, 0, 0, 0, 0];
            let instruction = Decoder::new(bitness, &bytes, DecoderOptions::NONE).decode();
            let known = handled.contains(&(instruction.code() as usize));
            assert_eq!(
                !instruction.is_invalid(),
                known,
                "{:?} {bytes:02x?} {bitness}",
                instruction.code()
            );
        }
    }
}

#[test]
fn every_form_that_is_executed_is_reachable_by_an_encoding() {
    let reached: BTreeSet<_> = encodings().map(|bytes| decode(&bytes).0 as usize).collect();
    let executed: Vec<_> = forms()
        .filter(|code| crate::fpu::forms::operation(*code).is_some())
        .collect();
    assert!(
        executed
            .iter()
            .all(|code| reached.contains(&(*code as usize)))
    );
    assert_eq!(executed.len(), reached.len());
}

#[test]
fn lowering_knows_the_operands() {
    let store = decode(&[0x48, 0xdd, 0x5d, 0x08]).1.expect("fstp m64");
    assert_eq!(
        (store.mem_size, store.reads_mem, store.writes_mem),
        (8, false, true)
    );
    let load = decode(&[0xdf, 0x2e]).1.expect("fild m64");
    assert_eq!(
        (load.mem_size, load.reads_mem, load.writes_mem),
        (8, true, false)
    );
    assert!(load.waits);
    let status = decode(&[0xdf, 0xe0]).1.expect("fnstsw ax");
    assert!(!status.waits && !status.reads_mem && !status.writes_mem);
    assert!(decode(&[0x90]).1.is_none());
}
