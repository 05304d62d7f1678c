//! Time spans, sizes and rates as the language writes them.

use std::fmt::Write as _;

/// A time span in the language's notation, e.g. `1m30s`, `1500us`.
#[must_use]
pub fn duration(ns: u64) -> String {
    const UNITS: [(&str, u64); 6] = [
        ("h", 3_600_000_000_000),
        ("m", 60_000_000_000),
        ("s", 1_000_000_000),
        ("ms", 1_000_000),
        ("us", 1_000),
        ("ns", 1),
    ];
    if ns == 0 {
        return "0s".into();
    }
    let mut rest = ns;
    let mut out = String::new();
    for (unit, scale) in UNITS {
        // `1500ms` reads better than `1s500ms`, but `1m30s` better than `90s`.
        if unit == "s" && !rest.is_multiple_of(scale) {
            continue;
        }
        if matches!(unit, "ms" | "us") && !rest.is_multiple_of(scale) {
            continue;
        }
        if rest >= scale {
            let _ = write!(out, "{}{unit}", rest / scale);
            rest %= scale;
        }
    }
    out
}

/// A size in the language's notation.
#[must_use]
pub fn size(bytes: u64) -> String {
    let (mut n, mut unit) = (bytes, 0);
    while n > 0 && n.is_multiple_of(1024) && unit < 4 {
        n /= 1024;
        unit += 1;
    }
    format!("{n}{}", ["B", "KiB", "MiB", "GiB", "TiB"][unit])
}

/// A bandwidth in the language's notation.
#[must_use]
pub fn bandwidth(bps: u64) -> String {
    let (mut n, mut unit) = (bps, 0);
    while n > 0 && n.is_multiple_of(1000) && unit < 3 {
        n /= 1000;
        unit += 1;
    }
    format!("{n}{}", ["bit", "kbit", "Mbit", "Gbit"][unit])
}

/// A time span that may be negative in the language's notation, e.g. `-20ms`.
#[must_use]
pub fn signed(ns: i64) -> String {
    let sign = if ns < 0 { "-" } else { "" };
    format!("{sign}{}", duration(ns.unsigned_abs()))
}
