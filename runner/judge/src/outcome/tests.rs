//! How verdicts add up.

use crate::outcome::model::{
    Document, ErrorCause, ExitStatus, Property, PropertyKind, ToolError, Verdict,
};
use crate::outcome::sample;

#[test]
fn a_report_without_properties_is_inconclusive_and_never_a_pass() {
    let mut report = sample::passing();
    report.properties.clear();
    let document = sample::of(report.finish());
    assert_eq!(document.verdict, Verdict::Inconclusive);
    assert_eq!(document.exit_status(), ExitStatus::Inconclusive);
}

#[test]
fn a_document_without_reports_is_inconclusive() {
    assert_eq!(
        Document::new("0.1.0", Vec::new()).exit_status(),
        ExitStatus::Inconclusive
    );
}

#[test]
fn built_in_properties_that_were_not_checked_are_listed_as_skipped() {
    let report = sample::undecided();
    let names: Vec<&str> = report
        .skipped
        .iter()
        .map(|skipped| skipped.name.as_str())
        .collect();
    assert_eq!(names, ["no-panic", "no-hang", "replay-is-identical"]);
}

#[test]
fn an_error_after_passed_properties_is_not_a_pass() {
    let mut report = sample::passing();
    report.errors.push(ToolError {
        cause: ErrorCause::Interrupted,
        code: "chaosrun::run::interrupted".to_owned(),
        message: "stopped by Ctrl-C".to_owned(),
        help: None,
    });
    let document = sample::of(report.finish());
    assert_eq!(document.exit_status(), ExitStatus::Inconclusive);
}

#[test]
fn nondeterminism_comes_before_a_failed_property() {
    let mut report = sample::failing();
    let kind = PropertyKind::ReplayIsIdentical;
    report.properties.retain(|property| property.kind != kind);
    report
        .properties
        .push(Property::new(kind.name(), kind, Verdict::Fail));
    assert_eq!(
        sample::of(report.finish()).exit_status(),
        ExitStatus::Nondeterminism
    );
}

#[test]
fn a_failed_property_comes_before_a_broken_host() {
    assert_eq!(
        sample::every_verdict().exit_status(),
        ExitStatus::PropertyFailed
    );
    assert_eq!(
        sample::of(sample::broken()).exit_status(),
        ExitStatus::HostCannot
    );
    assert_eq!(
        sample::of(sample::passing()).exit_status(),
        ExitStatus::Passed
    );
}

#[test]
fn reports_of_one_scenario_get_names_of_their_own() {
    let mut second = sample::passing();
    second.run.seed = "8".to_owned();
    let reports = vec![
        sample::passing(),
        second,
        sample::passing(),
        sample::failing(),
    ];
    let names = Document::new("0.1.0", reports).unique_names();
    assert_eq!(
        names,
        ["boot@seed-7", "boot@seed-8", "boot@seed-7 #2", "raft"]
    );
}
