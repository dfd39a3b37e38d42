//! `serve`: its handlers, its limits, its ends.
