//! The prompt, at a real pseudo-terminal.
