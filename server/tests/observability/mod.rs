//! What operators see. One file a subject.

mod audit;
mod ids;
mod log_level;
mod metrics;
mod secrets;
mod traces;
