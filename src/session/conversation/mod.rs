//! The conversation with whoever runs sockctl: at a terminal a prompt, elsewhere a pipe.

pub mod pipe;
pub mod prompt;
