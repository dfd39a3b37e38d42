//! `connect`: pipes, scripts, checks.
