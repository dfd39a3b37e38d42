//! Rows 11–17: names and addresses.
