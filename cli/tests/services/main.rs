//! What one Worker can ask of another over a service binding, through the whole server with the real engine: each test is
//! one promise. How a binding is uploaded and listed is shown by the register's own tests.

mod chains;
mod changes;
mod deploys;
mod refusals;
mod rollouts;
mod support;
mod values;
