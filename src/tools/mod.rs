//! The typed tools, one file each, and the ordered list of them.
