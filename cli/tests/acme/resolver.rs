//! A DNS server that knows one address for every name, so that pebble finds us under any.

use std::{
    net::{SocketAddr, UdpSocket},
    thread,
};

/// Hosts that begin with this lead to an address where nobody listens.
pub(crate) const NOWHERE: &str = "nowhere";

/// RFC 1035 section 3.2.2.
const TYPE_A: [u8; 2] = [0, 1];

/// Starts one; it ends with the test's process.
pub(crate) fn start() -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("bind a UDP port");
    let address = socket.local_addr().expect("an address");
    thread::spawn(move || {
        let mut query = [0; 1024];
        while let Ok((length, client)) = socket.recv_from(&mut query) {
            if let Some(answer) = answer(&query[..length]) {
                drop(socket.send_to(&answer, client));
            }
        }
    });
    address
}

/// The question again, with an address if it asks for an IPv4 one.
fn answer(query: &[u8]) -> Option<Vec<u8>> {
    let name = query.get(12..)?;
    let name_bytes = name.iter().position(|byte| *byte == 0)? + 1;
    let question = name.get(..name_bytes + 4)?;
    let is_for_address = question[name_bytes..].starts_with(&TYPE_A);
    let mut answer = Vec::from(&query[..2]);
    // An authoritative answer without error; one question, at most one answer (RFC 1035 section 4.1.1).
    answer.extend([0x85, 0x80, 0, 1, 0, u8::from(is_for_address), 0, 0, 0, 0]);
    answer.extend(question);
    if is_for_address {
        let last = if question[1..].starts_with(NOWHERE.as_bytes()) { 2 } else { 1 };
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, 127, 0, 0, last]);
    }
    Some(answer)
}
