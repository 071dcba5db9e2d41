//! Durable Objects through the public doors, with the real engine behind them: what migrations do, that there is one
//! instance of each object whatever happens, that nothing acknowledged is lost, that alarms fire, what becomes of sockets.

mod alarms;
mod backups;
mod crowd;
mod elsewhere;
mod exports;
mod handover;
mod linearizable;
mod looking;
mod migrations;
mod rollouts;
mod sockets;
mod support;
mod transfers;
