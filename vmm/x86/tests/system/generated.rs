//! Random programs with loops, calls and branches of all kinds: compiled or not, they do the same.

use crate::generator::{forms, machine};
use crate::modes;

#[test]
fn random_programs_do_the_same_compiled() {
    let forms = forms();
    assert!(forms.len() > 300, "{} forms", forms.len());
    for seed in 0..40 {
        let what = format!("program {seed}");
        let budgets: &[u64] = match seed % 20 {
            0 => &[1, 3, 7],
            1 => &[2, 5, 13],
            _ => &[],
        };
        modes::check(
            &what,
            || machine(seed, &forms),
            modes::skip_faulting,
            budgets,
        );
    }
}
