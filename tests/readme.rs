//! The README stays true.
