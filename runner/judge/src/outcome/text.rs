//! Text that came from a guest or a file name, made safe to show.
//!
//! A guest decides what is on its console and what its assertions say, so that every such string
//! can hold escape sequences, invalid UTF-8, characters that XML forbids, or a gigabyte on one line.
//! The functions here bound the length and make each unusual character visible instead of active.

/// The longest single line that a report shows, in characters.
pub const MAX_LINE_CHARS: usize = 400;
/// The longest block of text that a report holds, in bytes.
pub const MAX_BLOCK_BYTES: usize = 64 * 1024;
/// The most lines of one block that a report shows.
pub const MAX_BLOCK_LINES: usize = 400;

/// Turns bytes into text; invalid UTF-8 becomes U+FFFD, and what exceeds `max_bytes` is cut.
pub fn lossy(bytes: &[u8], max_bytes: usize) -> String {
    let shown = &bytes[..bytes.len().min(max_bytes)];
    let mut text = String::from_utf8_lossy(shown).into_owned();
    if shown.len() < bytes.len() {
        text.push_str(&format!("… ({} bytes more)", bytes.len() - shown.len()));
    }
    text
}

/// Makes one safe line of at most `max_chars` characters.
///
/// Terminal escape sequences are removed, line ends become `⏎`, tabs become spaces, and every other
/// control or direction-changing character is written as `\u{…}`.
pub fn line(text: &str, max_chars: usize) -> String {
    let mut safe = String::new();
    let mut shown = 0;
    let plain = without_escapes(
        text.trim_end_matches(['\r', '\n']),
        max_chars.saturating_mul(8),
    );
    for character in plain.chars() {
        if shown >= max_chars {
            safe.push('…');
            break;
        }
        shown += push_visible(&mut safe, character);
    }
    safe
}

/// Makes one safe line of the default length.
pub fn short_line(text: &str) -> String {
    line(text, MAX_LINE_CHARS)
}

/// Makes a safe block: as [`line`], but line ends stay, and both lines and bytes are bounded.
pub fn block(text: &str) -> String {
    let mut safe = String::new();
    let mut lines = text.lines();
    for (count, source) in lines.by_ref().enumerate() {
        if count >= MAX_BLOCK_LINES || safe.len() >= MAX_BLOCK_BYTES {
            safe.push_str("… (the rest is cut)\n");
            break;
        }
        safe.push_str(&line(source, MAX_LINE_CHARS));
        safe.push('\n');
    }
    safe.truncate(safe.trim_end_matches('\n').len());
    safe
}

/// Cuts a string to at most `max_bytes` bytes at a character boundary and says how much is missing.
pub fn clip(text: &str, max_bytes: usize) -> String {
    if text.len() <= max_bytes {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(max_bytes);
    format!("{}… ({} bytes more)", &text[..end], text.len() - end)
}

/// Cuts a string to at most `max_bytes` bytes at a character boundary, and shows that it was cut.
pub fn cut(text: &mut String, max_bytes: usize) {
    if text.len() > max_bytes {
        text.truncate(text.floor_char_boundary(max_bytes));
        text.push('…');
    }
}

/// Appends a visible form of `character` and returns how many characters that took.
fn push_visible(safe: &mut String, character: char) -> usize {
    match character {
        '\n' => safe.push('⏎'),
        '\r' => return 0,
        '\t' => safe.push(' '),
        _ if is_hidden(character) => {
            let escaped = format!("\\u{{{:x}}}", character as u32);
            safe.push_str(&escaped);
            return escaped.len();
        }
        _ => safe.push(character),
    }
    1
}

/// Says whether a character acts on a terminal or a reader instead of being seen: controls,
/// line and paragraph separators, direction overrides, zero-width marks, and the two noncharacters
/// that XML 1.0 §2.2 forbids.
fn is_hidden(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
            | '\u{feff}' | '\u{fffe}' | '\u{ffff}')
}

/// Removes terminal escape sequences (ECMA-48 §5.4 CSI, and OSC, DCS, SOS, PM, APC strings), and
/// stops reading after `max_chars` characters of the result.
fn without_escapes(text: &str, max_chars: usize) -> String {
    let mut plain = String::new();
    let mut kept = 0;
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        if kept > max_chars {
            break;
        }
        match character {
            '\u{1b}' => match characters.next() {
                Some('[') => skip_control_sequence(&mut characters),
                Some(']' | 'P' | 'X' | '^' | '_') => skip_control_string(&mut characters),
                _ => {}
            },
            '\u{9b}' => skip_control_sequence(&mut characters),
            '\u{9d}' | '\u{90}' => skip_control_string(&mut characters),
            _ => {
                plain.push(character);
                kept += 1;
            }
        }
    }
    plain
}

type Characters<'a> = std::iter::Peekable<std::str::Chars<'a>>;

/// Skips the parameters and the final byte of a control sequence; stops before anything else, so
/// that an unfinished sequence hides nothing of what follows.
fn skip_control_sequence(characters: &mut Characters<'_>) {
    while let Some(&next) = characters.peek() {
        if !('\u{20}'..='\u{7e}').contains(&next) {
            return;
        }
        characters.next();
        if next >= '\u{40}' {
            return;
        }
    }
}

/// Skips a control string up to its terminator (BEL or ST), at most 256 characters, so that an
/// unfinished one cannot swallow a whole console.
fn skip_control_string(characters: &mut Characters<'_>) {
    for _ in 0..256 {
        match characters.next() {
            Some('\u{1b}') => {
                characters.next_if_eq(&'\\');
                return;
            }
            Some('\u{07}' | '\u{9c}') | None => return,
            Some(_) => {}
        }
    }
}

/// Quotes an argument list for a POSIX shell, so that it can be pasted as one line.
pub fn shell_line<S: AsRef<str>>(arguments: &[S]) -> String {
    let quoted: Vec<String> = arguments
        .iter()
        .map(|word| shell_word(word.as_ref()))
        .collect();
    quoted.join(" ")
}

/// Quotes one word for a POSIX shell; a plain word stays as it is. Control characters are written
/// in the `$'…'` form, so that a hostile name can't break the line.
fn shell_word(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    if !word.chars().any(is_hidden) {
        return format!("'{}'", word.replace('\'', r"'\''"));
    }
    let mut quoted = String::from("$'");
    for character in word.chars() {
        match character {
            '\'' | '\\' => quoted.extend(['\\', character]),
            _ if is_hidden(character) => {
                let mut utf8 = [0; 4];
                for byte in character.encode_utf8(&mut utf8).bytes() {
                    quoted.push_str(&format!("\\{byte:03o}"));
                }
            }
            _ => quoted.push(character),
        }
    }
    quoted.push('\'');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn escape_sequences_disappear_and_the_text_stays() {
        assert_eq!(
            short_line("\u{1b}[31mred\u{1b}[0m \u{1b}]0;title\u{7}end"),
            "red end"
        );
        assert_eq!(short_line("\u{1b}[31"), "");
        assert_eq!(short_line("a\u{1b}[3\nb"), "a⏎b");
    }

    #[test]
    fn control_and_direction_characters_become_visible() {
        assert_eq!(
            short_line("a\u{0}b\u{202e}c\u{8}"),
            "a\\u{0}b\\u{202e}c\\u{8}"
        );
    }

    #[test]
    fn a_huge_line_is_cut_with_a_mark() {
        let cut = line(&"x".repeat(10_000_000), 10);
        assert_eq!(cut, "xxxxxxxxxx…");
    }

    #[test]
    fn invalid_utf8_is_replaced_and_the_cut_is_counted() {
        assert_eq!(lossy(b"a\xffb", 64), "a\u{fffd}b");
        assert_eq!(lossy(&[b'a'; 100], 4), "aaaa… (96 bytes more)");
    }

    #[test]
    fn a_clip_keeps_whole_characters() {
        assert_eq!(clip("äöü", 3), "ä… (4 bytes more)");
        assert_eq!(clip("äöü", 6), "äöü");
    }

    #[test]
    fn a_block_is_bounded_in_lines() {
        let many = "line\n".repeat(100_000);
        assert_eq!(block(&many).lines().count(), MAX_BLOCK_LINES + 1);
    }

    #[test]
    fn shell_words_are_quoted_only_where_they_must_be() {
        let line = shell_line(&["chaosrun", "a b.kdl", "it's", "", "--seed=7", "x\ny"]);
        assert_eq!(line, r"chaosrun 'a b.kdl' 'it'\''s' '' --seed=7 $'x\012y'");
    }

    proptest! {
        #[test]
        fn a_safe_line_never_holds_a_control_character(text in any::<String>(), max in 0usize..200) {
            let safe = line(&text, max);
            prop_assert!(!safe.chars().any(is_hidden));
            prop_assert!(safe.chars().count() <= max + 12);
        }
    }
}
