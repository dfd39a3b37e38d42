//! The guide in `src/lib.rs`, and the list of places in README, describe the code that there is: the
//! floors, the files they name, the functions of the walks, the constants and other names in code.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

const GUIDE: &str = include_str!("../src/lib.rs");
const README: &str = include_str!("../README.md");

fn src() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// Every source file under a folder, but those of tests.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if !path.ends_with("tests.rs") {
            found.push(path);
        }
    }
}

fn text_of(path: &str) -> String {
    fs::read_to_string(src().join(path)).unwrap()
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The name at the beginning of a text.
fn name(text: &str) -> &str {
    text.split(|c: char| !is_word(c)).next().unwrap()
}

/// Whether `code` declares this `fn`, `const`, `struct`, …: the whole name, not its beginning.
fn declares(code: &str, kind: &str, wanted: &str) -> bool {
    code.split(&format!("{kind} ")).skip(1).any(|rest| name(rest) == wanted)
}

fn is_file(text: &str) -> bool {
    Path::new(text).extension().is_some_and(|extension| extension == "rs")
}

/// What stands in backquotes.
fn quoted(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

#[test]
fn imports_point_down() {
    let rows = GUIDE.lines().skip_while(|line| !line.contains("| floor")).skip(2);
    let names = rows.map_while(|line| line.split('`').nth(1));
    let floors: BTreeMap<&str, usize> = names.zip(0..).collect();
    assert_eq!(floors.len(), 13, "{floors:?}");
    let (root, mut files) = (src(), Vec::new());
    sources(&root, &mut files);
    for file in files {
        let path = file.strip_prefix(&root).unwrap().to_str().unwrap();
        let Some(own) = floors.get(name(path)) else {
            assert_eq!(path, "lib.rs", "on no floor");
            continue;
        };
        let text = fs::read_to_string(&file).unwrap();
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
        for import in code.split("crate::").skip(1).map(name) {
            assert!(own <= &floors[import], "{path} imports {import}, which is above it");
        }
    }
}

#[test]
fn the_files_and_the_functions_of_the_walks_are_there() {
    let mut steps = 0;
    for line in GUIDE.lines().filter_map(|line| line.strip_prefix("//!")) {
        let words = line.split(|c: char| c.is_whitespace() || "`(),;:".contains(c));
        for word in words.filter(|word| word.contains('/') && word.contains(".rs")) {
            let root = if word.starts_with("tests/") { src().join("..") } else { src() };
            assert!(root.join(word).is_file() || word.contains("NAME"), "{line}: no {word}");
        }
        // `FILE  Type::function, function  <- FILE Type::function`
        let mut file = String::new();
        for part in line.split("  ").map(str::trim).filter(|part| !part.is_empty()) {
            let part = part.trim_start_matches(['<', '-', '>', ' ']);
            let (path, functions) = match part.split_once(".rs") {
                Some((path, functions)) => (Some(path), functions),
                None => (None, part),
            };
            if let Some(path) = path.filter(|path| src().join(format!("{path}.rs")).is_file()) {
                file = text_of(&format!("{path}.rs"));
            }
            let Some((_, functions)) = functions.split_once("::").filter(|_| !file.is_empty())
            else {
                continue;
            };
            for function in functions.split(',').map(|text| name(text.trim())) {
                assert!(declares(&file, "fn", function), "{line}: no fn {function}");
                steps += 1;
            }
        }
    }
    assert!(steps > 40, "only {steps} functions found in the walks");
}

#[test]
fn what_the_guide_names_in_code_is_there() {
    let mut files = Vec::new();
    sources(&src(), &mut files);
    files.retain(|file| !file.ends_with("lib.rs"));
    let texts = files.iter().map(|file| fs::read_to_string(file).unwrap());
    let all: String = texts.collect();
    let (mut functions, mut constants) = (0, 0);
    for line in GUIDE.lines().filter(|line| line.starts_with("//!")) {
        for code in quoted(line) {
            // `Type::function`, `Type::field`
            if let Some((kind, function)) = code.split_once("::")
                && kind.chars().all(is_word)
                && kind.starts_with(char::is_uppercase)
                && function.starts_with(char::is_lowercase)
            {
                let is_field = all.contains(&format!(" {function}: "));
                assert!(is_field || declares(&all, "fn", name(function)), "{line}: no {function}");
                let is_there = ["struct", "enum", "trait"].map(|it| declares(&all, it, kind));
                assert!(is_there.contains(&true), "{line}: no {kind}");
                functions += 1;
            }
            // `A_CONSTANT`, in a table with its file
            let is_name = code.contains('_') || line.starts_with("//! | `");
            if is_name && code.chars().all(|c| c.is_uppercase() || c == '_') {
                let file = quoted(line).find(|code| is_file(code));
                let text = file.filter(|_| line.contains('|')).map(text_of);
                let text = text.as_ref().unwrap_or(&all);
                assert!(declares(text, "const", code), "{line}: no const {code}");
                constants += 1;
            }
        }
    }
    assert!(functions > 10 && constants > 20, "only {functions} functions, {constants} constants");
}

#[test]
fn the_places_that_readme_names_are_there() {
    let root = src().join("..");
    let list = README.lines().skip_while(|line| *line != "## Where a new thing goes");
    let mut places = 0;
    for line in list {
        let is_path = |code: &&str| !code.contains(' ') && (is_file(code) || code.contains('/'));
        let folder = quoted(line).next().unwrap_or_default();
        for place in quoted(line).filter(is_path) {
            let roots = [root.clone(), src(), root.join(folder)];
            assert!(roots.iter().any(|root| root.join(place).exists()), "{line}: no {place}");
            places += 1;
        }
    }
    assert!(places > 20, "only {places} places found");
}

/// The lines of an enum in `console/event.rs`.
fn variants(events: &str, name: &str) -> Vec<String> {
    let body = events.split(&format!("pub enum {name}")).nth(1).unwrap();
    body.lines().take_while(|line| *line != "}").map(|line| line.trim().into()).collect()
}

#[test]
fn the_man_page_lists_the_fields_and_the_reasons_of_json() {
    let (manual, events) = (text_of("cli/manual.roff"), text_of("console/event.rs"));
    let json = manual.split(".SH JSON").nth(1).and_then(|rest| rest.split(".SH ").next()).unwrap();
    let json = json.replace("\\fB", "").replace("\\fR", "");
    let lists = |wanted: &str| json.split(|c: char| !is_word(c)).any(|word| word == wanted);
    let (mut is_in_json, mut found) = (true, 0);
    for line in variants(&events, "Event<'a>").into_iter().chain(variants(&events, "Reason")) {
        if line.starts_with("#[serde(") {
            is_in_json = !["(skip)", "(flatten)", "(rename"].iter().any(|it| line.contains(it));
            continue;
        }
        let field = line.split_once(": ").map(|(field, _)| field.to_string());
        let reason = line.strip_suffix(',').map(str::to_lowercase);
        let word = field.or(reason).filter(|word| word.chars().all(is_word));
        if let Some(word) = word {
            let is_in_json = std::mem::replace(&mut is_in_json, true);
            assert!(!is_in_json || lists(&word), "JSON: {word} is not in the man page");
            found += 1;
        }
    }
    assert!(found > 30, "only {found} words found");
}
