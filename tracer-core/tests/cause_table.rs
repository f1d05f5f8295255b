//! The table of causes is what the README and the page say of them.

use std::{fs, path::Path};

use tracer_core::classify::{CAUSES, CauseRow};

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn the_readme_has_a_row_for_each_cause_in_the_same_order() {
    let readme = read("README.md");
    let table = readme.lines().skip_while(|line| !line.starts_with("| cause |")).skip(2);
    // What it sets in bold is the cause this program was made for.
    let rows: Vec<_> = table.take_while(|line| !line.is_empty()).map(|line| line.replace("**", "")).collect();
    let expected: Vec<_> = CAUSES
        .iter()
        .map(|CauseRow { name, meaning, remedy }| format!("| `{name}` | {meaning} | {remedy} |"))
        .collect();
    assert_eq!(rows, expected);
}

#[test]
fn the_page_has_a_sentence_for_each_cause_in_the_same_order() {
    let page = read("tracer/src/http/page/causes.js");
    let lines: Vec<_> = page.lines().filter(|line| line.ends_with(".',")).collect();
    let expected: Vec<_> = CAUSES
        .iter()
        .map(|CauseRow { name, meaning, remedy }| {
            format!("  {name}: '{}. {}.',", sentence(meaning), sentence(remedy))
        })
        .collect();
    assert_eq!(lines, expected);
}

/// As plain text in single quotes, with a capital letter.
fn sentence(text: &str) -> String {
    let text = text.replace('`', "").replace('\'', "’");
    let (first, rest) = text.split_at(1);
    first.to_uppercase() + rest
}
