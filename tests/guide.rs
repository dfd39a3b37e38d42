//! The guide in `src/lib.rs` describes the code that there is: the floors, the files it names, and
//! the functions of its walks.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

const GUIDE: &str = include_str!("../src/lib.rs");

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

/// The name of the floor at the beginning of a path or an import.
fn floor(text: &str) -> &str {
    text.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap()
}

#[test]
fn imports_point_down() {
    let rows = GUIDE.lines().skip_while(|line| !line.contains("| floor")).skip(2);
    let names = rows.map_while(|line| line.split('`').nth(1));
    let floors: HashMap<&str, usize> = names.zip(0..).collect();
    assert_eq!(floors.len(), 13, "{floors:?}");
    let (root, mut files) = (src(), Vec::new());
    sources(&root, &mut files);
    for file in files {
        let path = file.strip_prefix(&root).unwrap().to_str().unwrap();
        let Some(own) = floors.get(floor(path)) else {
            assert_eq!(path, "lib.rs", "on no floor");
            continue;
        };
        let text = fs::read_to_string(&file).unwrap();
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
        for import in code.split("crate::").skip(1).map(floor) {
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
                file = fs::read_to_string(src().join(format!("{path}.rs"))).unwrap();
            }
            let Some((_, functions)) = functions.split_once("::").filter(|_| !file.is_empty())
            else {
                continue;
            };
            for function in functions.split(',').filter_map(|name| name.split_whitespace().next()) {
                assert!(file.contains(&format!("fn {function}")), "{line}: no fn {function}");
                steps += 1;
            }
        }
    }
    assert!(steps > 30, "only {steps} functions found in the walks");
}
