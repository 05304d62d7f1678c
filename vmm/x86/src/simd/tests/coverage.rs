//! No instruction form is forgotten.

use iced_x86::{Code, CpuidFeature, EncodingKind, Mnemonic};
use std::collections::BTreeSet;

/// The extensions of this module.
const FEATURES: [CpuidFeature; 7] = [
    CpuidFeature::MMX,
    CpuidFeature::SSE,
    CpuidFeature::SSE2,
    CpuidFeature::SSE3,
    CpuidFeature::SSSE3,
    CpuidFeature::SSE4_1,
    CpuidFeature::SSE4_2,
];

/// Instructions of these extensions that work on no SIMD register: x87, cache hints, fences and a
/// checksum of general registers. The integer core and the x87 unit have them.
const ELSEWHERE: [Mnemonic; 10] = [
    Mnemonic::Fisttp,
    Mnemonic::Emms,
    Mnemonic::Prefetchnta,
    Mnemonic::Prefetcht0,
    Mnemonic::Prefetcht1,
    Mnemonic::Prefetcht2,
    Mnemonic::Lfence,
    Mnemonic::Mfence,
    Mnemonic::Sfence,
    Mnemonic::Crc32,
];

#[test]
fn every_legacy_form_of_the_extensions_is_implemented() {
    let expected: BTreeSet<Code> = Code::values()
        .filter(|code| code.op_code().encoding() == EncodingKind::Legacy)
        .filter(|code| {
            code.cpuid_features()
                .iter()
                .any(|feature| FEATURES.contains(feature))
        })
        .filter(|code| !ELSEWHERE.contains(&code.mnemonic()))
        .collect();
    let implemented: BTreeSet<Code> = crate::simd::forms().collect();
    let missing: Vec<_> = expected.difference(&implemented).collect();
    let unexpected: Vec<_> = implemented.difference(&expected).collect();
    assert!(
        missing.is_empty() && unexpected.is_empty(),
        "missing {missing:?}, unexpected {unexpected:?}"
    );
    assert!(implemented.len() > 350, "only {} forms", implemented.len());
}
