// The floors of sockctl that parse: sockctl is a program, not a library, so each target is built
// with them, and uses a part.

#[allow(dead_code, unused_imports)]
#[path = "../../../src/auth/mod.rs"]
pub mod auth;
#[allow(dead_code)]
#[path = "../../../src/exit.rs"]
pub mod exit;
#[allow(dead_code)]
#[path = "../../../src/layer.rs"]
pub mod layer;
#[allow(dead_code)]
#[path = "../../../src/visible.rs"]
pub mod visible;
