//! The shell against a service of its own contract, over real connections.

mod calls;
mod fake;
mod streams;
mod workers;
