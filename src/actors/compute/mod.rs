//! The worker pool: one that takes jobs in and hands out batches, and workers on threads of their own.
pub mod pool;
pub mod worker;
