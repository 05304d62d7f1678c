//! What is public is used somewhere, which the compiler does not tell of a library.
//!
//! This goes by names: an item is used if its name appears as an identifier anywhere else. So a name that
//! is common (`new`, `len`) is never found, whoever else has it; what is found is unused for sure,
//! unless a macro puts its name together.

use std::collections::BTreeSet;

use crate::Finding;
use crate::sources::{File, Sources};
use crate::tokens::{Tree, levels};

/// Folders whose items are for programs outside of the repository.
const PUBLISHED: [&str; 2] = ["sdk/src", "sdk/c/src"];

/// What serde's `with` calls in the module that it names.
const CALLED_BY_MACROS: [&str; 2] = ["serialize", "deserialize"];

/// Public functions, types, traits and constants that nobody names. Neither declaring, importing and passing
/// on, nor implementing something for a type is naming it.
pub fn findings(sources: &Sources) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut uses = Uses::default();
    for file in sources.rust() {
        let published = PUBLISHED.iter().any(|folder| file.path.starts_with(folder));
        levels(&file.code, &mut |level| {
            if !published && !file.is_test() {
                found.extend(public(level).map(|item| (file, item)));
            }
        });
        uses.add(&file.code);
    }
    let unused = found.into_iter().filter(|(_, item)| {
        let imported = item.keyword == "trait" && uses.imported.contains(item.name);
        !imported && !uses.named.contains(item.name) && !CALLED_BY_MACROS.contains(&item.name)
    });
    let finding = |(file, item): (&File, Item)| Finding {
        rule: "items",
        path: file.path.clone(),
        line: item.line,
        what: item.name.to_owned(),
        advice: format!("this {} is public, and nobody uses it", item.keyword),
    };
    unused.map(finding).collect()
}

const KEYWORDS: [&str; 8] = [
    "fn", "struct", "enum", "union", "trait", "const", "static", "type",
];

/// Something that is declared.
struct Item<'a> {
    keyword: &'a str,
    name: &'a str,
    line: usize,
}

/// What is declared public at this level.
fn public(level: &[Tree]) -> impl Iterator<Item = Item<'_>> {
    level.iter().enumerate().filter_map(|(at, tree)| {
        let rest = level[at..]
            .strip_prefix(std::slice::from_ref(tree))
            .filter(|_| tree.is_word("pub"))?;
        let words = rest.iter().map_while(|tree| match tree {
            Tree::Word(word, line) => Some((word.as_str(), *line)),
            Tree::Literal { .. } => Some(("extern", 0)),
            _ => None,
        });
        // `pub const unsafe extern "C" fn name`: the last keyword in front of the name tells.
        let words: Vec<_> = words.take(6).collect();
        let at = words.windows(2).position(|pair| {
            KEYWORDS.contains(&pair[0].0)
                && !KEYWORDS.contains(&pair[1].0)
                && !["unsafe", "extern", "async"].contains(&pair[1].0)
        })?;
        let (name, line) = words[at + 1];
        Some(Item {
            keyword: words[at].0,
            name,
            line,
        })
        .filter(|_| name != "_")
    })
}

/// Where names appear other than where they are declared.
#[derive(Default)]
struct Uses<'a> {
    named: BTreeSet<&'a str>,
    /// In a `use`, which is a use of a trait only: what is imported otherwise is named again, or is
    /// merely passed on.
    imported: BTreeSet<&'a str>,
}

impl<'a> Uses<'a> {
    fn add(&mut self, level: &'a [Tree]) {
        let mut rest = level;
        let mut item = true;
        // `'static` and `*const` declare nothing.
        let mut sigil = false;
        while let Some((tree, behind)) = rest.split_first() {
            rest = behind;
            match tree {
                Tree::Word(word, _) if word == "use" => {
                    let end = rest
                        .iter()
                        .position(|tree| *tree == Tree::Mark(';'))
                        .unwrap_or(rest.len());
                    self.import(&rest[..end]);
                    rest = &rest[end..];
                }
                Tree::Word(word, _) if word == "impl" && item => {
                    if let Some(own) = implementer(rest) {
                        self.add(&rest[..own]);
                        rest = &rest[own + 1..];
                    }
                }
                Tree::Word(word, _) if KEYWORDS.contains(&word.as_str()) && !sigil => {
                    let declares = rest.first().is_some_and(|next| {
                        matches!(next, Tree::Word(word, _) if !KEYWORDS.contains(&word.as_str()))
                    });
                    rest = &rest[usize::from(declares)..];
                }
                Tree::Word(word, _) => drop(self.named.insert(word)),
                Tree::Literal { text, .. } => self.named.extend(named(text)),
                Tree::Group { inner, .. } => self.add(inner),
                Tree::Mark(_) => {}
            }
            sigil = matches!(tree, Tree::Mark('\'' | '*'));
            item = tree.is_word("unsafe") || matches!(tree, Tree::Group { .. } | Tree::Mark(';'));
        }
    }

    fn import(&mut self, tree: &'a [Tree]) {
        levels(tree, &mut |level| {
            for (at, tree) in level.iter().enumerate() {
                let Tree::Word(word, _) = tree else { continue };
                self.imported.insert(word);
                if level.get(at + 1).is_some_and(|next| next.is_word("as")) {
                    self.named.insert(word);
                }
            }
        });
    }
}

/// Where behind `impl` the type is whose methods follow; nothing, if this begins no such block.
fn implementer(trees: &[Tree]) -> Option<usize> {
    let end = trees.iter().position(|tree| tree.group('{').is_some())?;
    let mut depth = 0;
    let mut found = None;
    for (at, tree) in trees[..end].iter().enumerate() {
        match tree {
            Tree::Mark('<') => depth += 1,
            Tree::Mark('>') if at > 0 && trees[at - 1] != Tree::Mark('-') => depth -= 1,
            Tree::Mark(';') => return None,
            Tree::Word(word, _) if word == "where" => break,
            Tree::Word(..) if depth == 0 => found = Some(at),
            _ => {}
        }
    }
    found
}

/// The identifiers that a string names: those that a format string takes, and a path that is alone in an
/// attribute's string, such as serde's `with`.
fn named(text: &str) -> impl Iterator<Item = &str> {
    let plain = |c: char| c.is_alphanumeric() || c == '_';
    let alone = text.trim_matches('"');
    let path = alone
        .split("::")
        .filter(move |_| alone.chars().all(|c| plain(c) || c == ':'));
    let taken = text
        .split('{')
        .skip(1)
        .filter_map(move |rest| rest.split(|c| !plain(c)).next());
    path.chain(taken).filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unused(files: &[(&str, &str)]) -> Vec<String> {
        findings(&Sources::sample(files))
            .into_iter()
            .map(|finding| finding.what)
            .collect()
    }

    #[test]
    fn what_nobody_names_is_found() {
        let text = "pub fn a() {}
            pub const unsafe fn b() {}
            pub extern \"C\" fn c() {}
            pub struct D; impl D { pub fn e(&self) {} } impl Clone for D {}
            pub(crate) fn f() {}
            pub trait G {} impl G for u8 {}
            pub const H: u8 = 1; pub type I = u8; pub enum J {}";
        let found = unused(&[
            ("x/src/y.rs", text),
            ("x/src/lib.rs", "mod y; pub use y::{a, D};"),
        ]);
        assert_eq!(found, ["a", "b", "c", "D", "H", "I", "J", "e"]);
        assert_eq!(unused(&[("sdk/src/y.rs", text)]), [""; 0]);
    }

    #[test]
    fn what_is_named_somewhere_is_not_found() {
        let text = "pub fn a() {} pub struct B; pub trait C {} pub fn d() {} pub const E: u8 = \
            1; pub fn f() {}
            pub fn serialize() {} pub struct G; pub struct H;";
        let user =
            "use y::C; use y::f as g; fn x(a: &'static G, b: *const H) -> B { a(); x!(\"{E}\") }
            #[serde(with = \"y::d\")] struct Z;";
        assert_eq!(
            unused(&[("x/src/y.rs", text), ("x/tests/z.rs", user)]),
            [""; 0]
        );
    }

    #[test]
    fn a_type_is_not_used_by_having_methods() {
        for (own, name) in [
            ("A", "A"),
            ("<T: B> A<T>", "A"),
            ("B for c::A<u8> where u8: B", "A"),
            ("<F: Fn() -> u8> A<F>", "A"),
        ] {
            let text = format!("pub struct A; impl {own} {{}} fn b() {{}}");
            assert_eq!(unused(&[("x/src/y.rs", &text)]), [name]);
        }
        assert_eq!(
            unused(&[("x/src/y.rs", "pub struct A; fn b() -> impl A { 1 }")]),
            [""; 0]
        );
    }
}
