//! Control as a whole, on a disk that can be stopped between any two things done to it.

mod killing;
mod recorder;
mod world;
