//! Rows 65–71: programs.
