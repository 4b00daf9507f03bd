//! The audit log on disk: its tiles and head (`disk`), the file that entries wait in while the database is away (`wal`).
pub mod disk;
pub mod wal;
