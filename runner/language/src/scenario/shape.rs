//! Checks a document against the vocabulary and parses its values: one pass, for both languages.

use std::sync::Arc;

use super::block::{Block, Datum, Field};
use super::codes::{self};
use super::diag::{Diag, Diags};
use super::source::{Language, Span, Spanned};
use super::suggest::{did_you_mean, one_of};
use super::tree::{Entry, Raw, Value};
use super::vocab::{Key, Kind, Section};
use super::wording::{example_value, moved};

/// Checks one document of a language.
pub struct Shape<'a> {
    /// How the document is written; messages show examples in this language.
    pub language: Language,
    /// Where mistakes are told.
    pub diags: &'a mut Diags,
}

impl Shape<'_> {
    pub(super) fn push(&mut self, diag: Diag) {
        self.diags.push(diag);
    }

    /// Checks a block's entries. Whatever is right is returned, and every mistake is told.
    pub fn block(
        &mut self,
        section: &'static Section,
        args: &[Value],
        entries: &[Entry],
        span: Span,
    ) -> Block {
        let mut block = Block::empty(section, span);
        self.args(&mut block, args);
        for entry in entries {
            if !entry.key.starts_with("x-") {
                self.entry(&mut block, entry);
            }
        }
        self.required(&block);
        block
    }

    /// Gives a KDL node's arguments the names of their keys.
    fn args(&mut self, block: &mut Block, args: &[Value]) {
        let section = block.section;
        for (index, arg) in args.iter().enumerate() {
            if matches!(arg.raw, Raw::Broken) {
                // Which key it was meant for can't be known; it only keeps others from being missed.
                if let Some(key) = section
                    .keys()
                    .find(|k| !matches!(k.kind, Kind::Block(_) | Kind::Named(_)))
                {
                    block.fields.push(Field {
                        key,
                        key_span: arg.span,
                        value: Spanned::new(Datum::Bad, arg.span),
                    });
                }
                return;
            }
            let Some(name) = section.args.get(index) else {
                let took = if section.args.is_empty() {
                    "no value".to_owned()
                } else {
                    format!("only {}", one_of(section.args.iter().copied()))
                };
                let mut diag = Diag::error(
                    codes::TOO_MANY_VALUES,
                    format!("`{}` takes {took} before its keys", section.name),
                )
                .label(arg.span, "one too many");
                if let Raw::Str(text) = &arg.raw {
                    diag = diag
                        .help_opt(did_you_mean(text, section.keys().map(|k| k.name)))
                        .help_opt(self.repeat_hint(section));
                }
                self.push(diag);
                return;
            };
            let Some(key) = section.key(name, false) else {
                continue;
            };
            if section.variadic && index + 1 == section.args.len() {
                let rest = &args[index..];
                let span = rest.iter().fold(arg.span, |s, v| s.to(v.span));
                // A list in TOML's nested form is already what is wanted.
                let raw = match rest {
                    [one] => one.raw.clone(),
                    _ => Raw::List(rest.to_vec()),
                };
                self.value(block, key, arg.span, &Value { raw, span });
                return;
            }
            self.value(block, key, arg.span, arg);
        }
    }

    fn repeat_hint(&self, section: &Section) -> Option<String> {
        (section.args.len() == 1).then(|| {
            format!(
                "to have several, write `{}` once for each",
                section.name.rsplit('.').next().unwrap_or(section.name)
            )
        })
    }

    fn entry(&mut self, block: &mut Block, entry: &Entry) {
        // `jitter` of a trigger is a duration, and a fault: in TOML both can only be one list.
        if let Raw::List(items) = &entry.value.raw
            && block.section.keys().filter(|k| k.name == entry.key).count() > 1
        {
            let (blocks, plain): (Vec<&Value>, Vec<&Value>) =
                items.iter().partition(|v| matches!(v.raw, Raw::Table(_)));
            for value in plain {
                self.single(
                    block,
                    &Entry {
                        value: value.clone(),
                        ..entry.clone()
                    },
                );
            }
            if !blocks.is_empty() {
                let raw = Raw::List(blocks.into_iter().cloned().collect());
                self.single(
                    block,
                    &Entry {
                        value: Value {
                            raw,
                            span: entry.value.span,
                        },
                        ..entry.clone()
                    },
                );
            }
            return;
        }
        self.single(block, entry);
    }

    /// A key with one meaning.
    fn single(&mut self, block: &mut Block, entry: &Entry) {
        let blockish = match &entry.value.raw {
            Raw::Node(_, entries) => !entries.is_empty(),
            Raw::Table(_) => true,
            Raw::List(items) => items.iter().any(|v| matches!(v.raw, Raw::Table(_))),
            _ => false,
        };
        let Some(key) = block.section.key(&entry.key, blockish) else {
            self.unknown(block.section, entry);
            return;
        };
        let section = match key.kind {
            Kind::Block(s) | Kind::Named(s) => s,
            _ => return self.plain(block, key, entry),
        };
        let named = matches!(key.kind, Kind::Named(_));
        match &entry.value.raw {
            // TOML: `[node.n1]` is the table of nodes, with one entry per name.
            Raw::Table(items) if named => {
                for item in items.iter().filter(|i| !i.key.starts_with("x-")) {
                    let name = Spanned::new(item.key.clone(), item.key_span);
                    self.sub_block(block, key, section, item.key_span, &item.value, Some(name));
                }
            }
            Raw::List(items) if key.many => {
                for item in items {
                    self.sub_block(block, key, section, entry.key_span, item, None);
                }
            }
            Raw::Bool(false) if section.args.is_empty() => {}
            _ => self.sub_block(block, key, section, entry.key_span, &entry.value, None),
        }
    }

    /// A key with a plain value; tables of which there may be several can stand in a list.
    fn plain(&mut self, block: &mut Block, key: &'static Key, entry: &Entry) {
        match (&entry.value.raw, key.kind) {
            (Raw::List(items), Kind::Map) if key.many => {
                for item in items {
                    self.value(block, key, entry.key_span, item);
                }
            }
            _ => self.value(block, key, entry.key_span, &entry.value),
        }
    }

    fn sub_block(
        &mut self,
        block: &mut Block,
        key: &'static Key,
        section: &'static Section,
        key_span: Span,
        value: &Value,
        name: Option<Spanned<String>>,
    ) {
        let whole = if matches!(value.raw, Raw::Node(..)) {
            value.span
        } else {
            key_span
        };
        let mut inner = match &value.raw {
            Raw::Node(args, entries) => self.block(section, args, entries, whole),
            Raw::Table(entries) => self.block(section, &[], entries, whole),
            Raw::Bool(true) if section.args.is_empty() => self.block(section, &[], &[], whole),
            Raw::List(items) if section.variadic => self.block(section, items, &[], whole),
            _ if !section.args.is_empty() && name.is_none() => {
                self.block(section, std::slice::from_ref(value), &[], whole)
            }
            other => {
                let diag = Diag::error(
                    codes::WRONG_TYPE,
                    format!(
                        "`{}` is a block of keys, not {}",
                        key.name,
                        other.describe()
                    ),
                )
                .label(value.span, "expected a block")
                .help(self.block_help(key, section));
                self.push(diag);
                return;
            }
        };
        if !matches!(key.kind, Kind::Named(_)) {
            if !key.many && self.duplicate(block, key, key_span, true) {
                return;
            }
            block.fields.push(Field {
                key,
                key_span,
                value: Spanned::new(Datum::Block(Arc::new(inner)), value.span),
            });
            return;
        }
        let names = self.names(key, key_span, value, name, &inner);
        inner.fields.retain(|f| f.key.name != "name");
        for name in names.unwrap_or_default() {
            if self.name_is_good(key, &name) {
                let named = Block {
                    name: Some(name.clone()),
                    ..inner.clone()
                };
                block.fields.push(Field {
                    key,
                    key_span,
                    value: Spanned::new(Datum::Block(Arc::new(named)), name.span),
                });
            }
        }
    }

    /// What a block is called by its key or by its `name`, or the names of several.
    fn names(
        &mut self,
        key: &Key,
        key_span: Span,
        value: &Value,
        name: Option<Spanned<String>>,
        inner: &Block,
    ) -> Option<Vec<Spanned<String>>> {
        let mut names = inner.texts("name");
        match (name, names.first()) {
            (Some(name), Some(again)) => {
                let diag = Diag::error(
                    codes::CONFLICTING_KEYS,
                    format!("`{}` is named twice", name.value),
                )
                .label(again.span, "the second name")
                .label(name.span, "the first name")
                .help("remove `name`: the table's own key is the name");
                self.push(diag);
                return None;
            }
            (Some(name), None) => names.push(name),
            (None, None) if has_broken(value) => return None,
            (None, None) => {
                let example = match self.language {
                    Language::Kdl => format!("{} \"name\" {{ ... }}", key.name),
                    Language::Toml => format!("[{}.name]", key.name),
                };
                let diag = Diag::error(
                    codes::MISSING_KEY,
                    format!("this `{}` has no name", key.name),
                )
                .label(key_span, "the name is missing")
                .help(format!("write `{example}`"));
                self.push(diag);
                return None;
            }
            (None, Some(_)) => {}
        }
        Some(names)
    }

    fn block_help(&self, key: &Key, section: &Section) -> String {
        let first = section
            .keys()
            .find(|k| k.name != "name")
            .map_or("key", |k| k.name);
        match self.language {
            Language::Kdl => format!("write `{} {{ {first} ... }}`", key.name),
            Language::Toml => format!("write a table: `{} = {{ {first} = ... }}`", key.name),
        }
    }

    /// Names become host names, file names and parts of reports.
    fn name_is_good(&mut self, key: &Key, name: &Spanned<String>) -> bool {
        let text = &name.value;
        let node = key.name == "node";
        let good = |c: char| {
            c.is_ascii_alphanumeric() || c == '-' || (!node && matches!(c, '_' | '.' | ' '))
        };
        let why = if text.is_empty() {
            Some("is empty".to_owned())
        } else if text.len() > 63 {
            Some("is longer than 63 characters".to_owned())
        } else if let Some(c) = text.chars().find(|c| !good(*c)) {
            Some(format!("has the character `{}` in it", c.escape_debug()))
        } else if !text.starts_with(|c: char| c.is_ascii_alphanumeric())
            || text.ends_with(['-', ' ', '.'])
        {
            Some("doesn't begin and end with a letter or digit".to_owned())
        } else if node && ["all", "any", "minority", "majority"].contains(&text.as_str()) {
            Some("is a word that selects nodes".to_owned())
        } else {
            None
        };
        let Some(why) = why else { return true };
        let shown: String = text.chars().take(40).collect();
        let help = if node {
            "a node's name is its host name: letters, digits and `-`"
        } else {
            "use letters, digits, `-`, `_` and `.`"
        };
        self.push(
            Diag::error(
                codes::BAD_NAME,
                format!("the name `{}` {why}", shown.escape_debug()),
            )
            .label(name.span, "not a name")
            .help(help),
        );
        false
    }

    /// Tells a key that is written twice. Returns whether it is.
    pub(super) fn duplicate(
        &mut self,
        block: &Block,
        key: &Key,
        key_span: Span,
        is_block: bool,
    ) -> bool {
        let earlier = block
            .fields
            .iter()
            .find(|f| f.key.name == key.name && (matches!(f.key.kind, Kind::Block(_)) == is_block));
        let Some(earlier) = earlier else { return false };
        let diag = Diag::error(
            codes::DUPLICATE_KEY,
            format!("`{}` is written twice", key.name),
        )
        .label(key_span, "the second time")
        .label(earlier.key_span, "the first time")
        .help("keep one of them");
        self.push(diag);
        true
    }

    fn unknown(&mut self, section: &'static Section, entry: &Entry) {
        let shown: String = entry.key.chars().take(64).collect();
        let mut diag = Diag::error(
            codes::UNKNOWN_KEY,
            format!("`{}` has no key `{}`", section.name, shown.escape_debug()),
        )
        .label(entry.key_span, "unknown key");
        let keys = || {
            section
                .keys()
                .map(|k| k.name)
                .filter(|k| *k != "name" || section.args.first() != Some(&"name"))
        };
        diag = match did_you_mean(&entry.key, keys()) {
            Some(help) => diag.help(help),
            None => match moved(section, &entry.key, self.language) {
                Some(help) => diag.help(help),
                None => diag.help(format!(
                    "its keys are {}; keys that begin with `x-` are yours",
                    one_of(keys())
                )),
            },
        };
        self.push(diag);
    }

    fn required(&mut self, block: &Block) {
        // An included file may leave out what the main file says.
        if block.section.name == "scenario"
            || block
                .fields
                .iter()
                .any(|f| matches!(f.value.value, Datum::Bad))
        {
            return;
        }
        for key in block
            .section
            .keys()
            .filter(|k| k.required && !block.has(k.name))
        {
            let diag = Diag::error(
                codes::MISSING_KEY,
                format!("`{}` needs `{}`", block.section.name, key.name),
            )
            .label(block.span, format!("`{}` is missing", key.name))
            .help(format!("{} Write e.g. {}", key.doc, self.example(key)));
            self.push(diag);
        }
    }

    /// An example of a key with a value.
    pub(super) fn example(&self, key: &Key) -> String {
        let value = match example_value(key.kind) {
            Some(value) => value.to_owned(),
            None => "...".into(),
        };
        match self.language {
            Language::Kdl => format!("`{}={value}`", key.name),
            Language::Toml => format!("`{} = {value}`", key.name),
        }
    }
}

/// Whether a part of the value could not be read.
pub(super) fn has_broken(value: &Value) -> bool {
    match &value.raw {
        Raw::Broken => true,
        Raw::Node(args, _) | Raw::List(args) => args.iter().any(|a| matches!(a.raw, Raw::Broken)),
        _ => false,
    }
}
