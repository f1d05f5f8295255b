//! What the program can be told to do.

pub mod replay;
pub mod run;
