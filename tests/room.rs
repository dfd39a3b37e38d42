//! `serve --room`.
