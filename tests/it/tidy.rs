//! The house rules that a compiler does not check: layers, file length, first lines.
