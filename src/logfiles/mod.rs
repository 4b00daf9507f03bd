//! Files that grow: the audit log (`disk`), the file that its entries wait in while the database is away (`wal`), and
//! the files that lessons wait in (`spool`).
pub mod disk;
pub mod spool;
pub mod wal;
