//! Conformance cases: a Worker with requests, run on the reference implementation and on us. What a case may say is in the
//! README; the cases themselves are data in `cases/`.

mod bundled;
mod case;
mod compare;
mod ours;
mod reference;
mod run;
mod sqllogic;

pub use run::{Selection, run};
pub use sqllogic::SqlLogic;
