//! `auth-serve` against Python's and our own clients.
