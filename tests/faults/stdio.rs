//! Rows 36–46: stdin, stdout, the terminal.
