//! Rows 77–80: disks and systems.
