//! A real terminal of another make than the tests' own: tmux.

use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use crate::run::{DEADLINE, Words, program, until};

/// A window of tmux, which lays long lines out anew when its width changes, as most terminals do.
pub struct Tmux {
    server: String,
    width: usize,
}

impl Tmux {
    /// Starts a program in a window so wide, and 24 rows high.
    pub fn start(width: usize, words: &str) -> Self {
        static STARTED: AtomicUsize = AtomicUsize::new(0);
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let server = format!("sockctl-{}-{number}", std::process::id());
        let tmux = Self { server, width };
        tmux.run(format!("-f /dev/null new-session -d -x {width} -y 24 {words}"));
        tmux.run("set status off");
        tmux
    }

    /// What tmux prints when told this.
    #[track_caller]
    pub fn run(&self, words: impl Words) -> String {
        program("tmux", ["-L", &self.server]).args(words).run().output().trim_end().into()
    }

    /// Gives the window another width; returns when the program in it was told.
    pub fn resize(&mut self, width: usize) {
        self.width = width;
        self.run(format!("resize-window -x {width}"));
        let terminal = self.run("display-message -p #{pane_tty}");
        until("the window's new width", || {
            let size = program("stty", ["size", "-F", &terminal]).run();
            size.stdout == format!("24 {width}\n").as_bytes()
        });
    }

    /// The last that is in the window, or was scrolled out of it, is these lines of narrow
    /// characters, as wide as it is.
    #[track_caller]
    pub fn shows(&self, lines: &[String]) {
        let cells: Vec<Vec<char>> = lines.iter().map(|line| line.chars().collect()).collect();
        let rows = cells.iter().flat_map(|cells| cells.chunks(self.width));
        let rows = rows.map(|row| String::from_iter(row).trim_end().to_string());
        let wanted = rows.collect::<Vec<_>>().join("\n");
        let (mut last, began) = (String::new(), Instant::now());
        while !last.ends_with(&wanted) {
            assert!(began.elapsed() < DEADLINE, "{last}\n\ninstead of\n\n{wanted}");
            last = self.run("capture-pane -p -S -");
        }
    }
}

impl Drop for Tmux {
    fn drop(&mut self) {
        let _ = Command::new("tmux").args(["-L", &self.server, "kill-server"]).output();
    }
}
