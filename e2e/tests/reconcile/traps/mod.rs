//! Traps that other operators and gateways fell into, each by its name. `docs/operator.md` has the list.

mod api;
mod beside;
mod drift;
mod fields;
mod keys;
mod pods;

use std::{collections::BTreeSet, fs, path::PathBuf};

/// A file of the repository.
fn file(path: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Names of the tests in a file.
fn tests(text: &str) -> BTreeSet<String> {
    let mut lines = text.lines().map(str::trim);
    let mut names = BTreeSet::new();
    while let Some(line) = lines.next() {
        if line.starts_with("#[tokio::test") || line == "#[test]" {
            let function = lines.find(|line| line.contains("fn ")).unwrap_or_default();
            let name = function
                .split("fn ")
                .nth(1)
                .and_then(|rest| rest.split('(').next());
            names.extend(name.map(str::to_owned));
        }
    }
    names
}

/// The rows of the table of traps: the file of the test, and its name.
fn table() -> Vec<(String, String)> {
    let docs = file("docs/operator.md");
    let section = docs.split("\n## Traps\n").nth(1).expect("a section on traps");
    let section = section.split("\n## ").next().unwrap_or_default();
    let cells = section.lines().filter(|line| line.starts_with("| ")).skip(1);
    cells
        .flat_map(|line| {
            line.split('`')
                .skip(1)
                .step_by(2)
                .map(str::to_owned)
                .collect::<Vec<_>>()
        })
        .filter_map(|word| {
            let (file, name) = word.split_once("::")?;
            Some((file.to_owned(), name.to_owned()))
        })
        .collect()
}

#[test]
fn the_table_in_the_docs_names_tests_that_exist_and_all_of_these() {
    let rows = table();
    for (path, name) in &rows {
        let path = if path.starts_with("traps/") {
            format!("e2e/tests/reconcile/{path}")
        } else {
            path.clone()
        };
        let all = tests(&file(&path));
        assert!(
            all.contains(name),
            "docs/operator.md names {name} in {path}, which has {all:?}"
        );
    }
    for group in ["api", "beside", "drift", "fields", "keys", "pods"] {
        let path = format!("traps/{group}.rs");
        for name in tests(&file(&format!("e2e/tests/reconcile/{path}"))) {
            let row = (path.clone(), name);
            assert!(
                rows.contains(&row),
                "docs/operator.md has no row for {}::{}",
                row.0,
                row.1
            );
        }
    }
}
