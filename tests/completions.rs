//! `completions/` holds what `--generate` writes, and the man page tells of every option.
//!
//! `SOCKCTL_UPDATE=1 cargo test completions` writes the files anew.

use std::fs;
use std::path::Path;

use crate::run::sockctl;

/// Each kind, and its file in `completions/`.
const FILES: [(&str, &str); 4] = [
    ("complete-bash", "sockctl.bash"),
    ("complete-zsh", "_sockctl"),
    ("complete-fish", "sockctl.fish"),
    ("complete-nushell", "sockctl.nu"),
];

fn generated(kind: &str) -> String {
    sockctl(["--generate", kind]).run().output()
}

#[test]
fn completions_are_those_of_the_binary() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("completions");
    let update = std::env::var_os("SOCKCTL_UPDATE").is_some();
    for (kind, name) in FILES {
        let (made, path) = (generated(kind), folder.join(name));
        if update {
            fs::write(&path, &made).unwrap();
        }
        let held = fs::read_to_string(&path).unwrap_or_default();
        assert!(
            held == made,
            "completions/{name} is out of date: SOCKCTL_UPDATE=1 cargo test completions"
        );
    }
    let held = fs::read_dir(&folder).unwrap().count();
    assert_eq!(held, FILES.len(), "a file in completions/ that nothing makes");
}

#[test]
fn the_man_page_has_a_section_for_each_command_and_every_option() {
    let page = generated("man");
    assert!(page.contains(".TH sockctl 1"), "{page}");
    for command in
        ["serve", "connect", "udp-serve", "udp-send", "auth-serve", "auth-connect", "opts"]
    {
        let heading = format!(".SH {}", command.to_uppercase().replace('-', "\\-"));
        let section = page.split(".SH ").find(|part| {
            heading
                .strip_prefix(".SH ")
                .is_some_and(|title| part.starts_with(&format!("{title}\n")))
        });
        let section = section.unwrap_or_else(|| panic!("no section {heading}"));
        let help = sockctl([command, "--help"]).run().output();
        let options = help
            .split([' ', ',', '\n'])
            .filter_map(|word| word.strip_prefix("--"))
            .map(|word| word.split(['[', '=']).next().unwrap_or(word))
            .filter(|word| {
                !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase() || c == '-')
            });
        let mut count = 0;
        for option in options {
            let wanted = format!("\\-\\-{}", option.replace('-', "\\-"));
            assert!(section.contains(&wanted), "{command}: {wanted} is not in the man page");
            count += 1;
        }
        assert!(count > 5, "{command}: only {count} options found in its help");
    }
}

#[test]
fn the_man_page_tells_what_no_option_does() {
    let page = generated("man");
    for title in [
        "\"ADDRESSES AND AMOUNTS\"",
        "\"WHAT THE KEY PROTECTS\"",
        "ENVIRONMENT",
        "EXAMPLES",
        "\"EXIT STATUS\"",
    ] {
        assert!(page.contains(&format!("\n.SH {title}\n")), "no section {title}");
    }
    for variable in ["SOCKCTL_KEY", "SOCKCTL_PROXY_PASSWORD", "NO_COLOR", "TCPREMOTEIP"] {
        assert!(page.contains(variable), "{variable}");
    }
}
