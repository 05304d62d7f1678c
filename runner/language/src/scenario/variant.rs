//! Matrices: one file, several scenarios.

use super::block::{Block, Datum, merge};
use super::codes;
use super::diag::{Diag, Diags};
use super::load::Scenario;
use super::shape::Shape;
use super::source::{Language, Span, Spanned};
use super::suggest::did_you_mean;
use super::tree::{Entry, Raw, Value};
use super::vocab::{Key, Kind, ROOT, Section};

/// How many scenarios one file may become.
const MAX_VARIANTS: usize = 1000;

/// An axis, its values each as settings to join with the scenario's.
struct Axis {
    name: String,
    points: Vec<(String, Block)>,
}

/// Makes a file's scenarios: itself if it has no matrix, or else each combination and variant.
pub(super) fn expand(name: &Spanned<String>, root: &Block, diags: &mut Diags) -> Vec<Scenario> {
    let scenario = |variant: String, body: Block| Scenario {
        name: name.clone(),
        variant,
        body,
    };
    let Some(matrix) = root.block("matrix") else {
        return vec![scenario(String::new(), root.clone())];
    };
    let axes: Vec<Axis> = matrix
        .blocks("axis")
        .filter_map(|axis| read_axis(axis, root, diags))
        .collect();
    let combinations = axes
        .iter()
        .fold(1usize, |n, a| n.saturating_mul(a.points.len()));
    if combinations > MAX_VARIANTS {
        diags.push(
            Diag::error(
                codes::MATRIX_TOO_LARGE,
                format!("the matrix has {combinations} combinations, more than {MAX_VARIANTS}"),
            )
            .label(matrix.span, "too many")
            .help("use `exclude`, shorter axes, or `run seeds=` for many runs of one scenario"),
        );
        return Vec::new();
    }
    let excludes = excludes(matrix, &axes, diags);
    let mut out = Vec::new();
    let variants: Vec<_> = matrix.blocks("variant").collect();
    if !axes.is_empty() || variants.is_empty() {
        for index in 0..combinations {
            let picked = pick(&axes, index);
            let excluded = |e: &Vec<(String, String)>| {
                e.iter()
                    .all(|(axis, value)| picked.iter().any(|(a, v, _)| a == axis && v == value))
            };
            if excludes.iter().any(excluded) {
                continue;
            }
            let label: Vec<String> = picked
                .iter()
                .map(|(axis, value, _)| format!("{axis}={value}"))
                .collect();
            let body = picked.iter().fold(root.clone(), |body, (_, _, over)| {
                merge_into_root(&body, over)
            });
            out.push(scenario(label.join(","), body));
        }
    }
    for variant in variants {
        let label = variant
            .name
            .as_ref()
            .map(|n| n.value.clone())
            .unwrap_or_default();
        out.push(scenario(label, merge_into_root(root, variant)));
    }
    out
}

fn merge_into_root(root: &Block, over: &Block) -> Block {
    let mut body = merge(root, over);
    body.span = root.span;
    body.name = None;
    body
}

/// The `index`-th combination; the last axis turns fastest.
fn pick(axes: &[Axis], mut index: usize) -> Vec<(&str, &str, &Block)> {
    let mut out = Vec::new();
    for axis in axes.iter().rev() {
        let (value, over) = &axis.points[index % axis.points.len()];
        index /= axis.points.len();
        out.push((axis.name.as_str(), value.as_str(), over));
    }
    out.reverse();
    out
}

fn read_axis(axis: &Block, root: &Block, diags: &mut Diags) -> Option<Axis> {
    let path = axis.spanned_text("path")?;
    let parts: Vec<&str> = path.value.split('.').collect();
    let bad = |why: String, help: String| {
        Diag::error(
            codes::BAD_AXIS,
            format!("the axis `{}` {why}", clip(path.value)),
        )
        .label(path.span, "names no setting")
        .help(help)
    };
    if let Err((why, help)) = follow(&parts, &ROOT, root) {
        diags.push(bad(why, help));
        return None;
    }
    let name = axis.text("name").map_or_else(
        || {
            parts
                .iter()
                .rev()
                .find(|p| **p != "*")
                .unwrap_or(&"")
                .to_string()
        },
        ToOwned::to_owned,
    );
    let Some(Datum::Any(values)) = axis.field("values").map(|f| &f.value.value) else {
        return None;
    };
    let mut points = Vec::new();
    for value in values {
        let Some(label) = label(value) else {
            diags.push(
                Diag::error(
                    codes::BAD_AXIS,
                    "the values of an axis are texts, numbers and truths",
                )
                .label(value.span, "can't be such a value")
                .help("for settings with several keys use `variant`"),
            );
            continue;
        };
        let entries = settings(&parts, &ROOT, root, value, path.span);
        let block = Shape {
            language: Language::Toml,
            diags,
        }
        .block(&ROOT, &[], &entries, path.span);
        points.push((label, block));
    }
    if points.is_empty() {
        None
    } else {
        Some(Axis { name, points })
    }
}

fn label(value: &Value) -> Option<String> {
    match &value.raw {
        Raw::Str(s) => Some(clip(s)),
        Raw::Int(n) => Some(n.to_string()),
        Raw::Bool(b) => Some(b.to_string()),
        _ => None,
    }
}

fn clip(text: &str) -> String {
    text.chars().take(60).collect()
}

/// Checks that a path leads to a value.
fn follow(parts: &[&str], section: &'static Section, root: &Block) -> Result<(), (String, String)> {
    const EXAMPLES: &str = "e.g. `kernel`, `run.duration`, `network.lan.loss`, `node.*.memory`";
    let Some((first, rest)) = parts.split_first() else {
        return Err(("ends before a setting".into(), EXAMPLES.into()));
    };
    let Some(key) = section.key(first, !rest.is_empty()) else {
        let help =
            did_you_mean(first, section.keys().map(|k| k.name)).unwrap_or_else(|| EXAMPLES.into());
        return Err((
            format!(
                "has the part `{}`, which `{}` doesn't have",
                clip(first),
                section.name
            ),
            help,
        ));
    };
    match (key.kind, rest) {
        (Kind::Named(inner), [name, rest @ ..]) => {
            let names = names_of(root, key);
            if *name != "*" && !names.iter().any(|n| n == name) {
                let help = did_you_mean(name, names.iter().map(String::as_str))
                    .unwrap_or_else(|| format!("define `{} \"{}\"` first", key.name, clip(name)));
                return Err((
                    format!(
                        "names the {} `{}`, which is not defined",
                        key.name,
                        clip(name)
                    ),
                    help,
                ));
            }
            let block = root
                .blocks(key.name)
                .find(|b| b.name.as_ref().is_some_and(|n| n.value == *name));
            follow(rest, inner, block.map_or(root, |b| b))
        }
        (Kind::Block(_), _) if key.many => Err((
            format!("leads into `{}`, of which there can be several", key.name),
            "use `variant` for such settings".into(),
        )),
        (Kind::Block(inner), []) if !inner.args.is_empty() => Ok(()),
        (Kind::Block(inner), _) => follow(rest, inner, root.block(key.name).map_or(root, |b| b)),
        (_, []) if !matches!(key.kind, Kind::Named(_)) => Ok(()),
        _ => Err((format!("goes on behind `{}`", key.name), EXAMPLES.into())),
    }
}

fn names_of(root: &Block, key: &Key) -> Vec<String> {
    root.blocks(key.name)
        .filter_map(|b| b.name.as_ref().map(|n| n.value.clone()))
        .collect()
}

/// The nested tables that say `path = value`.
fn settings(
    parts: &[&str],
    section: &'static Section,
    root: &Block,
    value: &Value,
    span: Span,
) -> Vec<Entry> {
    let Some((first, rest)) = parts.split_first() else {
        return Vec::new();
    };
    let entry = |key: &str, value: Value| Entry {
        key: key.to_owned(),
        key_span: span,
        value,
    };
    let table = |entries| Value {
        raw: Raw::Table(entries),
        span,
    };
    let Some(key) = section.key(first, !rest.is_empty()) else {
        return Vec::new();
    };
    match (key.kind, rest) {
        (_, []) => vec![entry(first, value.clone())],
        (Kind::Named(inner), [name, rest @ ..]) => {
            let names = if *name == "*" {
                names_of(root, key)
            } else {
                vec![(*name).to_owned()]
            };
            let tables = names.iter().map(|n| {
                let block = root
                    .blocks(key.name)
                    .find(|b| b.name.as_ref().is_some_and(|b| b.value == *n));
                entry(
                    n,
                    table(settings(
                        rest,
                        inner,
                        block.map_or(root, |b| b),
                        value,
                        span,
                    )),
                )
            });
            vec![entry(first, table(tables.collect()))]
        }
        (Kind::Block(inner), _) => vec![entry(
            first,
            table(settings(
                rest,
                inner,
                root.block(key.name).map_or(root, |b| b),
                value,
                span,
            )),
        )],
        _ => Vec::new(),
    }
}

/// The combinations to leave out, each as axes with values.
fn excludes(matrix: &Block, axes: &[Axis], diags: &mut Diags) -> Vec<Vec<(String, String)>> {
    let mut out = Vec::new();
    for field in matrix.all("exclude") {
        let Datum::Map(entries) = &field.value.value else {
            continue;
        };
        for (axis, value) in entries {
            let known = axes.iter().find(|a| a.name == axis.value);
            if known.is_none_or(|a| !a.points.iter().any(|(label, _)| label == value)) {
                let help = match known {
                    None => did_you_mean(&axis.value, axes.iter().map(|a| a.name.as_str())),
                    Some(a) => {
                        did_you_mean(value, a.points.iter().map(|(label, _)| label.as_str()))
                    }
                };
                diags.push(
                    Diag::error(
                        codes::UNDEFINED_NAME,
                        format!(
                            "no axis `{}` has the value `{}`",
                            clip(&axis.value),
                            clip(value)
                        ),
                    )
                    .label(axis.span, "excludes nothing")
                    .label(matrix.span, "the axes are defined here")
                    .help_opt(help),
                );
            }
        }
        out.push(
            entries
                .iter()
                .map(|(axis, value)| (axis.value.clone(), value.clone()))
                .collect(),
        );
    }
    out
}
