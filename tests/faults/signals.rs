//! Rows 47–51: signals, restarts, long runs.
