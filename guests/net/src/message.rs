//! What is asked and answered, and what is asserted about it; the same over both stacks.

use std::sync::atomic::{AtomicU64, Ordering};

use chaosrun_sdk::{assert_always, assert_sometimes, publish};
use serde_json::json;

/// The bytes of a message.
pub const SIZE: usize = 64;

/// The answers of this process.
static ANSWERS: AtomicU64 = AtomicU64::new(0);

/// The message with this number: the number, and bytes that follow from it.
pub fn question(number: u64) -> [u8; SIZE] {
    let mut bytes = [0; SIZE];
    let mut word = number;
    for chunk in bytes.chunks_mut(8) {
        chunk.copy_from_slice(&word.to_le_bytes());
        word = word.rotate_left(7).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ number;
    }
    bytes
}

/// Judges an answer, and gives how many there were.
pub fn answered(number: u64, answer: &[u8; SIZE]) -> u64 {
    assert_always!(
        *answer == question(number),
        "an answer is what was asked",
        &json!({ "number": number, "answer": answer.to_vec() })
    );
    let answers = ANSWERS.fetch_add(1, Ordering::Relaxed) + 1;
    assert_sometimes!(answers >= 10, "ten questions are answered");
    publish("messages", answers);
    answers
}

/// Shows that things go on, without filling the console.
pub fn show(answers: u64) {
    if answers <= 3 || answers.is_multiple_of(10) {
        println!("pong {answers}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_differ_in_more_than_their_number() {
        let (first, second) = (question(1), question(2));
        assert_eq!(first[..8], 1u64.to_le_bytes());
        let equal = first.iter().zip(&second).filter(|(a, b)| a == b).count();
        assert!(equal < SIZE / 2, "{equal} bytes are equal");
        assert_eq!(question(1), first);
    }
}
