//! The notes, row by row, against real Python peers.
