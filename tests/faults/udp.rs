//! Rows 72–76: datagrams.
