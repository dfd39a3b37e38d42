//! The floors of sockctl that parse: sockctl is a program, not a library, so each target is built
//! with them.

#![allow(dead_code, unused_imports, reason = "a target uses a part of them")]

#[path = "../../../src/auth/mod.rs"]
pub mod auth;
#[path = "../../../src/exit.rs"]
pub mod exit;
#[path = "../../../src/layer.rs"]
pub mod layer;
#[path = "../../../src/visible.rs"]
pub mod visible;
