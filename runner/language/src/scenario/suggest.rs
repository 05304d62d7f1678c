//! "Did you mean": the nearest of the words that would have been right.

use strsim::osa_distance;

/// The candidate nearest to `word`, if it is near enough to be a slip of the fingers, or differs
/// only in case, in `_` for `-`, or by being the plural.
#[must_use]
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // A word much longer than any candidate can't be near one, and must not cost time.
    if word.len() > 64 {
        return None;
    }
    let plain = normal(word);
    let limit = (plain.chars().count() / 3).clamp(1, 3);
    candidates
        .into_iter()
        .filter(|c| c.len() <= 64)
        .map(|c| (osa_distance(&plain, &normal(c)), c))
        // `n4` for `n1` is another thing of its kind, not a slip of the fingers.
        .filter(|(d, c)| {
            *d <= limit
                && *d < c.chars().count()
                && (*d == 0 || letters(&plain) != letters(&normal(c)))
        })
        .min()
        .map(|(_, c)| c)
}

/// Like [`nearest`], as the sentence "did you mean `x`?".
#[must_use]
pub fn did_you_mean<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<String> {
    nearest(word, candidates).map(|c| format!("did you mean `{c}`?"))
}

/// Lists words as `a`, `b` or `c`, up to a bound.
#[must_use]
pub fn one_of<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let words: Vec<&str> = words.into_iter().collect();
    let shown: Vec<String> = words.iter().take(40).map(|w| format!("`{w}`")).collect();
    match shown.as_slice() {
        [] => String::new(),
        [one] => one.clone(),
        _ if words.len() > shown.len() => format!(
            "{} and {} more",
            shown.join(", "),
            words.len() - shown.len()
        ),
        [all @ .., last] => format!("{} or {last}", all.join(", ")),
    }
}

/// A word without its digits.
fn letters(word: &str) -> String {
    word.chars().filter(|c| !c.is_ascii_digit()).collect()
}

fn normal(word: &str) -> String {
    let word = word.to_lowercase().replace('_', "-");
    match word.strip_suffix('s') {
        Some(stem) if stem.len() > 2 => stem.to_owned(),
        _ => word,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_case_plural_and_underscores_are_recognised() {
        let keys = ["memory", "vcpus", "restart-after", "network"];
        assert_eq!(nearest("memroy", keys), Some("memory"));
        assert_eq!(nearest("Memory", keys), Some("memory"));
        assert_eq!(nearest("vcpu", keys), Some("vcpus"));
        assert_eq!(nearest("networks", keys), Some("network"));
        assert_eq!(nearest("restart_after", keys), Some("restart-after"));
    }

    #[test]
    fn an_unrelated_word_gets_no_suggestion() {
        assert_eq!(nearest("banana", ["memory", "vcpus"]), None);
        assert_eq!(nearest("x", ["at"]), None);
        assert_eq!(nearest("n4", ["n1", "n2"]), None);
        assert_eq!(nearest(&"m".repeat(10_000), ["memory"]), None);
    }
}
