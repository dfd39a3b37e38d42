//! Rows 22–35: a peer on a stream.
