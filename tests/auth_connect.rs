//! `auth-connect` against Python's and our own servers.
