//! Rows 1–10: the command line.
