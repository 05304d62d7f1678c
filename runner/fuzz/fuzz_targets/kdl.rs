#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| chaosrun::scenario::fuzz::fuzz_kdl(bytes));
