//! Programs behind `serve`.
