//! Tests of the workflow core that span several files.
mod children;
mod corners;
mod expressions;
mod faults;
mod host;
mod journal;
mod meaning;
mod model;
mod pausing;
mod recovery;
mod spreading;
mod support;
mod tasks;
mod undoing;
mod waiting;
