//! Rows 52–64: authentication.
