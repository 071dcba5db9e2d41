//! Which host a request is for, decided once and from one place, so that nobody behind us can decide otherwise.

use http::{HeaderValue, Request, Version, header::HOST};

use crate::{fault::Fault, limits::HOST_NAME_BYTES_MAX};

/// A host with its port, as the client wrote it, in characters that a host may have.
#[derive(Debug, Clone)]
pub(crate) struct Host {
    value: HeaderValue,
    name_bytes: usize,
}

impl Host {
    /// The host of a request: the authority of its target if it has one (RFC 9112 section 3.2.2, RFC 9113 section
    /// 8.3.1), else the one `Host` header.
    pub(crate) fn of<B>(request: &Request<B>) -> Result<Self, Fault> {
        let mut headers = request.headers().get_all(HOST).iter();
        let header = headers.next();
        if headers.next().is_some() {
            return Err(Fault::bad_request("more than one Host header"));
        }
        let Some(authority) = request.uri().authority() else {
            let header = header.ok_or_else(|| Fault::bad_request("no Host header"))?;
            return Self::parse(header.clone());
        };
        if header.is_none() && request.version() == Version::HTTP_11 {
            return Err(Fault::bad_request("no Host header"));
        }
        if request.version() == Version::HTTP_2
            && header.is_some_and(|header| header.as_bytes() != authority.as_str().as_bytes())
        {
            return Err(Fault::bad_request("Host differs from :authority"));
        }
        let Ok(value) = HeaderValue::from_str(authority.as_str()) else {
            return Err(Fault::bad_request("the authority is not a host"));
        };
        Self::parse(value)
    }

    pub(crate) fn parse(value: HeaderValue) -> Result<Self, Fault> {
        let text = value.as_bytes();
        let name_bytes = if text.first() == Some(&b'[') {
            text.iter().position(|byte| *byte == b']').map_or(0, |end| end + 1)
        } else {
            text.iter().position(|byte| *byte == b':').unwrap_or(text.len())
        };
        let (name, rest) = text.split_at(name_bytes);
        if !is_name(name) || !is_port(rest) {
            return Err(Fault::bad_request("the host is not a host name"));
        }
        Ok(Self { value, name_bytes })
    }

    /// With its port, if it came with one.
    pub(crate) fn header(&self) -> HeaderValue {
        self.value.clone()
    }

    /// Without port, and without the dot that ends a fully qualified name.
    pub(crate) fn name(&self) -> &str {
        let text = self.value.to_str().expect("a host is ASCII");
        let name = &text[..self.name_bytes];
        name.strip_suffix('.').unwrap_or(name)
    }
}

fn is_name(name: &[u8]) -> bool {
    if name.is_empty() || HOST_NAME_BYTES_MAX < name.len() {
        return false;
    }
    if let Some(address) = name.strip_prefix(b"[").and_then(|rest| rest.strip_suffix(b"]")) {
        return !address.is_empty()
            && address.iter().all(|byte| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.'));
    }
    name.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}

/// Nothing, or a colon and at most five digits.
fn is_port(rest: &[u8]) -> bool {
    let Some(digits) = rest.strip_prefix(b":") else { return rest.is_empty() };
    digits.len() <= 5 && digits.iter().all(u8::is_ascii_digit)
}

#[cfg(test)]
mod tests {
    use http::{HeaderValue, uri::Authority};
    use proptest::prelude::*;

    use super::Host;

    fn text() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            "[a-cA-C0-9._:-]{0,24}".prop_map(String::into_bytes),
            "[a-c\\[\\]:.@/%, \t0-9]{0,24}".prop_map(String::into_bytes),
            prop::collection::vec(any::<u8>(), 0..300),
        ]
    }

    // PROPTEST_CASES makes this a long run.
    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_host_that_is_taken_is_the_one_that_everybody_reads(text in text()) {
            let Ok(value) = HeaderValue::from_bytes(&text) else { return Ok(()) };
            let Ok(host) = Host::parse(value.clone()) else { return Ok(()) };
            prop_assert_eq!(host.header(), value);
            let authority: Authority = std::str::from_utf8(&text).unwrap().parse().unwrap();
            prop_assert_eq!(authority.host().strip_suffix('.').unwrap_or_else(|| authority.host()), host.name());
            prop_assert_eq!(authority.as_str().as_bytes(), text.as_slice());
        }
    }

    #[test]
    fn a_host_is_split_from_its_port() {
        let check = |text: &'static str, name| {
            assert_eq!(Host::parse(HeaderValue::from_static(text)).unwrap().name(), name, "{text}");
        };
        check("hello.localhost", "hello.localhost");
        check("Hello.localhost:8787", "Hello.localhost");
        check("hello.localhost.:80", "hello.localhost");
        check("my_app.example.com:", "my_app.example.com");
        check("127.0.0.1:8787", "127.0.0.1");
        check("[::1]:8787", "[::1]");
    }

    #[test]
    fn what_is_no_host_is_refused() {
        let long = "a".repeat(254);
        let wrong: [&[u8]; 14] = [
            b"",
            b":80",
            b"a b",
            b"a/b",
            b"user@host",
            b"a,b",
            b"a:b",
            b"a:123456",
            b"a:80:80",
            b"[::1",
            b"[]",
            b"[::1]x",
            b"caf\xc3\xa9",
            long.as_bytes(),
        ];
        for text in wrong {
            let value = HeaderValue::from_bytes(text).unwrap();
            assert!(Host::parse(value).is_err(), "{:?}", String::from_utf8_lossy(text));
        }
    }
}
