//! A real terminal of another make than the tests' own: tmux.

use std::process::Command;
use std::time::Instant;

use crate::run::{DEADLINE, program, until};

/// A window of tmux, which lays long lines out anew when its width changes, as most terminals do.
pub struct Tmux {
    server: String,
    width: usize,
}

impl Tmux {
    /// Starts sockctl in a window so wide, and 24 rows high.
    pub fn start(width: usize, words: &[&str]) -> Self {
        let server = format!("sockctl-{}", std::process::id());
        let tmux = Self { server, width };
        let size = ["-x", &width.to_string(), "-y", "24"];
        let command = ["-f", "/dev/null", "new-session", "-d"];
        tmux.run(&[&command, &size[..], &[env!("CARGO_BIN_EXE_sockctl")], words].concat());
        tmux.run(&["set", "status", "off"]);
        tmux
    }

    /// What tmux prints when told this.
    #[track_caller]
    pub fn run(&self, words: &[&str]) -> String {
        let (words, server) = (words.iter().copied(), ["-L", self.server.as_str()]);
        let finished = program("tmux", server.into_iter().chain(words)).run();
        assert_eq!((finished.code, &*finished.stderr), (0, ""));
        String::from_utf8(finished.stdout)
            .unwrap()
            .trim_end()
            .into()
    }

    /// Gives the window another width; returns when the program in it was told.
    pub fn resize(&mut self, width: usize) {
        self.width = width;
        self.run(&["resize-window", "-x", &width.to_string()]);
        let terminal = self.run(&["display-message", "-p", "#{pane_tty}"]);
        until("the window's new width", || {
            let size = program("stty", ["size", "-F", &terminal]).run();
            size.stdout == format!("24 {width}\n").as_bytes()
        });
    }

    /// All that is in the window and was scrolled out of it is these lines, as wide as it is.
    #[track_caller]
    pub fn shows(&self, lines: &[String]) {
        let rows = lines.iter().flat_map(|line| {
            let cells: Vec<_> = line.chars().collect();
            let rows: Vec<String> = cells.chunks(self.width).map(String::from_iter).collect();
            rows
        });
        let wanted: Vec<String> = rows.map(|row| row.trim_end().into()).collect();
        let wanted = wanted.join("\n");
        let (mut last, began) = (String::new(), Instant::now());
        while last != wanted {
            assert!(
                began.elapsed() < DEADLINE,
                "{last}\n\ninstead of\n\n{wanted}"
            );
            last = self.run(&["capture-pane", "-p", "-S", "-"]);
        }
    }
}

impl Drop for Tmux {
    fn drop(&mut self) {
        let _ = Command::new("tmux")
            .args(["-L", &self.server, "kill-server"])
            .output();
    }
}
