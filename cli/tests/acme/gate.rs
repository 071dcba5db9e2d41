//! A port that pebble validates at, and that leads to a server's door once the test says to which: the door's port is not
//! known when pebble starts.

use std::{
    io,
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use tokio::sync::watch;

/// Where a gate leads; cheap to clone.
#[derive(Clone)]
pub(crate) struct Gate {
    pub(crate) port: u16,
    state: Arc<Mutex<State>>,
    knocks: watch::Receiver<usize>,
}

enum State {
    Open(SocketAddr),
    /// Whoever comes is let in and hears nothing.
    Silent(Vec<TcpStream>),
}

impl Gate {
    /// A silent one.
    pub(crate) fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind a port");
        let port = listener.local_addr().expect("an address").port();
        let state = Arc::new(Mutex::new(State::Silent(Vec::new())));
        let (sender, knocks) = watch::channel(0);
        let gate = Self { port, state: Arc::clone(&state), knocks };
        thread::spawn(move || {
            for visitor in listener.incoming().flatten() {
                match &mut *state.lock().unwrap_or_else(PoisonError::into_inner) {
                    State::Open(door) => drop(connect(visitor, *door)),
                    State::Silent(visitors) => visitors.push(visitor),
                }
                sender.send_modify(|count| *count += 1);
            }
        });
        gate
    }

    /// Leads to a door from now on.
    pub(crate) fn open(&self, door: SocketAddr) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = State::Open(door);
    }

    /// Waits until somebody has come.
    pub(crate) async fn knocked(&self) {
        let mut knocks = self.knocks.clone();
        drop(knocks.wait_for(|count| 0 < *count).await.expect("the gate stands"));
    }
}

fn connect(visitor: TcpStream, door: SocketAddr) -> io::Result<()> {
    let inside = TcpStream::connect(door)?;
    carry(visitor.try_clone()?, inside.try_clone()?);
    carry(inside, visitor);
    Ok(())
}

fn carry(mut from: TcpStream, mut to: TcpStream) {
    thread::spawn(move || {
        // Either side may end it.
        drop(io::copy(&mut from, &mut to));
        drop(to.shutdown(Shutdown::Write));
    });
}
