//! Findings that are let through by name, and names that let nothing through any more.

use crate::Finding;

/// Findings that are let through, and why.
#[derive(Clone, Copy)]
pub struct Allowed {
    pub rule: &'static str,
    /// What the findings are about.
    pub what: &'static str,
    /// Files, or folders for all in them; a folder that these are in may be left out, so that moving it
    /// changes nothing here.
    pub paths: &'static [&'static str],
    pub why: &'static str,
}

impl Allowed {
    fn covers(&self, path: &str, finding: &Finding) -> bool {
        self.rule == finding.rule
            && self.what == finding.what
            && format!("/{}/", finding.path).contains(&format!("/{path}/"))
    }
}

/// The findings that are not let through, and one for each path that is not needed.
pub fn apply(findings: Vec<Finding>, allowed: &[Allowed]) -> Vec<Finding> {
    let entries = || {
        allowed
            .iter()
            .flat_map(|entry| entry.paths.iter().map(move |path| (entry, *path)))
    };
    let unneeded =
        entries().filter(|(entry, path)| !findings.iter().any(|f| entry.covers(path, f)));
    let unneeded = unneeded.map(|(entry, path)| Finding {
        rule: "allowed",
        path: path.to_owned(),
        line: 0,
        what: format!("{}: {}", entry.rule, entry.what),
        advice: "that is not there any more, so take the path out of its list".to_owned(),
    });
    let mut left: Vec<_> = unneeded.collect();
    left.extend(
        findings
            .into_iter()
            .filter(|f| !entries().any(|(entry, path)| entry.covers(path, f))),
    );
    left
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exceptions::EXCEPTIONS;
    use crate::known::KNOWN;

    fn finding() -> Finding {
        Finding {
            rule: "functions",
            path: "a/src/b.rs".to_owned(),
            line: 3,
            what: "long".to_owned(),
            advice: "shorten it".to_owned(),
        }
    }

    fn entry(rule: &'static str, what: &'static str, paths: &'static [&'static str]) -> Allowed {
        Allowed {
            rule,
            what,
            paths,
            why: "a table",
        }
    }

    #[test]
    fn an_entry_lets_its_findings_through_and_no_others() {
        for paths in [
            &["a/src/b.rs"],
            &["a/src"],
            &["a"],
            &["src/b.rs"],
            &["b.rs"],
        ] {
            assert_eq!(
                apply(vec![finding()], &[entry("functions", "long", paths)]),
                []
            );
        }
        for other in [
            entry("columns", "long", &["a/src/b.rs"]),
            entry("functions", "long", &["a/src/b"]),
            entry("functions", "lon", &["a/src/b.rs"]),
        ] {
            let left = apply(vec![finding()], &[other]);
            assert_eq!(left.len(), 2, "{left:?}");
            assert_eq!(left[1], finding());
        }
    }

    #[test]
    fn a_path_that_lets_nothing_through_is_a_finding() {
        let left = apply(vec![finding()], &[entry("functions", "long", &["a", "b"])]);
        assert_eq!(left.len(), 1);
        assert_eq!((left[0].rule, left[0].path.as_str()), ("allowed", "b"));
    }

    #[test]
    fn every_entry_has_its_reason_and_what_is_known_its_date() {
        assert!(EXCEPTIONS.iter().all(|entry| !entry.why.is_empty()));
        for entry in KNOWN {
            let (date, reason) = entry.why.split_once(": ").expect("a date and a reason");
            assert!(
                date.len() == "2026-11-30".len() && date.starts_with("20"),
                "{date}"
            );
            assert!(!reason.is_empty());
        }
    }
}
