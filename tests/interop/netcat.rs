//! nc, ncat and socat in both roles.
