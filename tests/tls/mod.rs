//! TLS. `certificates.rs` makes what the servers show.

mod certificates;
mod check;
mod starttls;
