//! Time and tasks: the clock that tests can set, and tracked, named, cancellable spawning. It knows nothing of what the
//! tasks do.

mod clock;
mod spawn;

pub use clock::Clock;
pub use spawn::Tasks;
