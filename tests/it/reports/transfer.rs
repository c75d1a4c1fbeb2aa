//! Import and export of what people have.
