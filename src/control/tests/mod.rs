//! Control as a whole, on a disk that can be stopped between any two things done to it.

mod acknowledging;
mod archiving;
mod held;
mod killing;
mod many;
mod recorder;
mod remembering;
mod replaced;
mod world;
