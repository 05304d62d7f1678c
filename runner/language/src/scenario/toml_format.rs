//! Tidies TOML: blanks around `=`, indentation and empty lines, and nothing else. Comments, quotes
//! and the notation of numbers stay as they were written.

use toml_edit::{Array, Decor, DocumentMut, InlineTable, Item, Table, Value};

/// Formats a text.
///
/// # Errors
/// The message of the parser, if the text is not TOML.
pub fn format(text: &str) -> Result<String, String> {
    let mut document: DocumentMut = text
        .parse()
        .map_err(|e: toml_edit::TomlError| e.message().to_owned())?;
    let end = comments(document.trailing().as_str().unwrap_or_default(), false);
    table(document.as_table_mut(), true);
    document.set_trailing(end);
    let mut out = document.to_string();
    while out.starts_with('\n') {
        out.remove(0);
    }
    let end = out.trim_end_matches(['\n', ' ']).len();
    out.truncate(end);
    if !out.is_empty() {
        out.push('\n');
    }
    Ok(out)
}

fn table(table: &mut Table, root: bool) {
    let mut first = root;
    for (mut key, item) in table.iter_mut() {
        match item {
            Item::Table(inner) => header(inner),
            Item::ArrayOfTables(list) => list.iter_mut().for_each(header),
            Item::Value(value) => {
                pair(&mut key, value, first);
                first = false;
            }
            Item::None => {}
        }
    }
}

/// A table's header: one empty line before it, comments kept.
fn header(inner: &mut Table) {
    if !inner.is_dotted() && !inner.is_implicit() {
        let prefix = comments(
            inner
                .decor()
                .prefix()
                .and_then(|p| p.as_str())
                .unwrap_or_default(),
            false,
        );
        let suffix = trailing(inner.decor());
        let blank = if prefix.starts_with('\n') { "" } else { "\n" };
        *inner.decor_mut() = Decor::new(format!("{blank}{prefix}"), suffix);
    }
    table(inner, false);
}

fn pair(key: &mut toml_edit::KeyMut<'_>, value: &mut Value, first: bool) {
    let prefix = comments(
        key.leaf_decor()
            .prefix()
            .and_then(|p| p.as_str())
            .unwrap_or_default(),
        first,
    );
    *key.leaf_decor_mut() = Decor::new(prefix, " ");
    let suffix = trailing(value.decor());
    inner_value(value);
    *value.decor_mut() = Decor::new(" ", suffix);
}

/// Values in lists and braces: one blank behind commas, unless they span lines or have comments.
fn inner_value(value: &mut Value) {
    match value {
        Value::Array(list) if !spans_lines(&list.to_string()) => array(list),
        Value::InlineTable(inner) if !spans_lines(&inner.to_string()) => inline(inner),
        _ => {}
    }
}

fn spans_lines(text: &str) -> bool {
    text.contains(['\n', '#'])
}

fn array(list: &mut Array) {
    for (index, value) in list.iter_mut().enumerate() {
        inner_value(value);
        *value.decor_mut() = Decor::new(if index == 0 { "" } else { " " }, "");
    }
    list.set_trailing("");
    list.set_trailing_comma(false);
}

fn inline(inner: &mut InlineTable) {
    let last = inner.len().saturating_sub(1);
    for (index, (mut key, value)) in inner.iter_mut().enumerate() {
        *key.leaf_decor_mut() = Decor::new(" ", " ");
        inner_value(value);
        *value.decor_mut() = Decor::new(" ", if index == last { " " } else { "" });
    }
}

/// The comment behind a value on its line, with the blanks by which it may be aligned.
fn trailing(decor: &Decor) -> String {
    let text = decor
        .suffix()
        .and_then(|s| s.as_str())
        .unwrap_or_default()
        .trim_end();
    match text.starts_with([' ', '\t']) || text.is_empty() {
        true => text.to_owned(),
        false => format!(" {text}"),
    }
}

/// Lines of comments before a key: no indentation, at most one empty line in a row.
fn comments(text: &str, first: bool) -> String {
    let mut out = String::new();
    let mut lines: Vec<&str> = text.split('\n').map(str::trim).collect();
    // What stands behind the last line break is the indentation of the key itself.
    lines.pop();
    let mut blank = first;
    for line in lines {
        if line.is_empty() && blank {
            continue;
        }
        blank = line.is_empty();
        out.push_str(line);
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layout_is_tidied_and_content_is_kept() {
        let messy = "\n# top\nname=\"a\"# the name\n\n\n\nschema   =  1_0\n[node.n1]\n  # why\n  \
            memory='1MiB'\n[[faults.at]] # first\ntime=\"1s\"\n\
            kill={target=[\"n1\",\"n2\"],any=0x1}\n# end\n";
        let tidy = "# top\nname = \"a\" # the name\n\nschema = 1_0\n\n[node.n1]\n# why\nmemory \
            = '1MiB'\n\n[[faults.at]] # first\ntime = \"1s\"\nkill = { target = \
            [\"n1\", \"n2\"], any = 0x1 }\n# end\n";
        assert_eq!(format(messy).unwrap(), tidy);
        assert_eq!(format(tidy).unwrap(), tidy);
    }
}
