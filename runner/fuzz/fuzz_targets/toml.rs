#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| chaosrun_language::scenario::fuzz::fuzz_toml(bytes));
