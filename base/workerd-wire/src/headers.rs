//! The names of the headers that only Skerry and workerd exchange. Those that belong to one binding's protocol, such as
//! `CF-KV-Metadata`, are the room's that speaks it.

/// What every name here begins with, and no other header does: the ingress takes all such headers from clients.
pub const PREFIX: &str = "x-skerry-";

/// `request.cf` as JSON text, both ways: from the ingress to a Worker, and from a Worker's `fetch()` to the egress. workerd
/// takes it away before user code sees the request; without it `request.cf` is undefined.
pub const CF_BLOB_HEADER: &str = "x-skerry-cf";

/// The scheme that the client used, `http` or `https`: it becomes that of `request.url`. workerd takes it away too.
pub const FORWARDED_PROTO_HEADER: &str = "x-skerry-proto";

/// Which of its own bindings a Worker is calling. workerd adds it to each request on a binding's service and thereby
/// overwrites what user code may have set; CONNECT requests do not carry it.
pub const BINDING_HEADER: &str = "x-skerry-binding";

/// Which Durable Object a request is for, between the two sides of the gate.
pub const OBJECT_HEADER: &str = "x-skerry-object";

/// Says, between the two sides of the gate, that the answer to a request is the exception that it met, as JSON.
pub const THREW_HEADER: &str = "x-skerry-threw";

/// The authority under which workerd makes calls on a binding. User code can open a socket to any authority through a
/// service binding (`env.NAME.connect()`), so `key` is known to workerd only. A binding's name may hold what an authority
/// may not, so it is written in hexadecimal.
#[must_use]
pub fn binding_authority(binding: &str, key: &str) -> String {
    let name: String = binding.bytes().map(|byte| format!("{byte:02x}")).collect();
    format!("{name}.{key}.binding")
}

#[cfg(test)]
mod tests {
    use super::{
        BINDING_HEADER, CF_BLOB_HEADER, FORWARDED_PROTO_HEADER, OBJECT_HEADER, PREFIX, THREW_HEADER,
    };

    #[test]
    fn every_header_can_be_stripped_by_its_prefix() {
        for name in [CF_BLOB_HEADER, FORWARDED_PROTO_HEADER, BINDING_HEADER, OBJECT_HEADER, THREW_HEADER] {
            assert!(name.strip_prefix(PREFIX).is_some_and(|rest| !rest.is_empty()), "{name}");
            assert_eq!(name, name.to_ascii_lowercase());
        }
    }
}
