//! The modules of a crate, as far as they are files.

use std::path::Path;

use crate::sources::{File, Sources};
use crate::tokens::{Tree, attribute, is_for_tests};

/// A file of a crate.
pub struct Module<'a> {
    pub file: &'a File,
    /// From the crate's root; nothing for the root.
    pub path: Vec<&'a str>,
    /// Whether it is compiled for tests only.
    pub test: bool,
}

/// The modules of the crate whose root is in a folder.
pub fn of_crate<'a>(sources: &'a Sources, folder: &'a str) -> Vec<Module<'a>> {
    let module = |file: &'a File| {
        let inside = Path::new(&file.path)
            .strip_prefix(folder)
            .expect("it is in the folder");
        let names = inside
            .to_str()
            .expect("it was a string")
            .trim_end_matches(".rs");
        let mut path: Vec<_> = names.split('/').collect();
        if path
            .last()
            .is_some_and(|name| ["mod", "lib", "main"].contains(name))
        {
            path.pop();
        }
        Module {
            file,
            path,
            test: file.is_test(),
        }
    };
    let mut modules: Vec<_> = sources.rust_in(folder).map(module).collect();
    let mut for_tests = Vec::new();
    for module in &modules {
        for name in declared_for_tests(&module.file.code) {
            for_tests.push([&module.path[..], &[name]].concat());
        }
    }
    for module in &mut modules {
        module.test |= for_tests.iter().any(|path| module.path.starts_with(path));
    }
    modules
}

/// The modules in other files that are declared for tests only.
fn declared_for_tests(code: &[Tree]) -> Vec<&str> {
    let declared = (0..code.len()).filter_map(|at| {
        let mut rest = &code[at..];
        attribute(rest).filter(|attribute| is_for_tests(attribute))?;
        while attribute(rest).is_some() {
            rest = &rest[2..];
        }
        let at = rest.iter().take(3).position(|tree| tree.is_word("mod"))?;
        match &rest[at + 1..] {
            [Tree::Word(name, _), Tree::Mark(';'), ..] => Some(name.as_str()),
            _ => None,
        }
    });
    declared.collect()
}

#[test]
fn modules_for_tests_are_told_by_their_names_and_declarations() {
    let sources = Sources::sample(&[
        (
            "a/src/lib.rs",
            "mod b; #[cfg(test)] #[allow(x)] pub(crate) mod c;",
        ),
        (
            "a/src/b/mod.rs",
            "#[cfg(test)] mod d; mod e; #[cfg(test)] mod f { }",
        ),
        ("a/src/b/d.rs", ""),
        ("a/src/b/e.rs", ""),
        ("a/src/b/tests.rs", ""),
        ("a/src/c.rs", ""),
        ("a/src/c/g.rs", ""),
    ]);
    let modules = of_crate(&sources, "a/src");
    let told: Vec<_> = modules
        .iter()
        .map(|module| (module.path.join("::"), module.test))
        .collect();
    let told: Vec<_> = told
        .iter()
        .map(|(path, test)| (path.as_str(), *test))
        .collect();
    let known = [
        ("", false),
        ("b", false),
        ("b::d", true),
        ("b::e", false),
        ("b::tests", true),
        ("c", true),
        ("c::g", true),
    ];
    assert_eq!(told, known);
}
