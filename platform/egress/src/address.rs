//! Which addresses a Worker may reach. A [`Permitted`] address is made here and nowhere else, and nothing else can be
//! dialled; that is what keeps a name from being checked with one address and connected with another.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use ipnet::IpNet;

/// IPv4 networks that are not the public internet (IANA special-purpose registry), and one public address that is
/// a cloud's metadata service in disguise (Azure).
const NOT_PUBLIC_V4: [(Ipv4Addr, u8); 16] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8),
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    (Ipv4Addr::new(168, 63, 129, 16), 32),
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 0, 0, 0), 24),
    (Ipv4Addr::new(192, 0, 2, 0), 24),
    (Ipv4Addr::new(192, 88, 99, 0), 24),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    (Ipv4Addr::new(198, 18, 0, 0), 15),
    (Ipv4Addr::new(198, 51, 100, 0), 24),
    (Ipv4Addr::new(203, 0, 113, 0), 24),
    (Ipv4Addr::new(224, 0, 0, 0), 4),
    (Ipv4Addr::new(240, 0, 0, 0), 4),
];

/// The only part of IPv6 that is handed out as public addresses …
const PUBLIC_V6: (Ipv6Addr, u8) = (Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);

/// … and what is special inside it: Teredo and other protocol assignments, documentation, 6to4.
const NOT_PUBLIC_V6: [(Ipv6Addr, u8); 4] = [
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23),
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32),
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20),
];

/// An address that may be dialled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Permitted(SocketAddr);

impl Permitted {
    pub(crate) fn address(self) -> SocketAddr {
        self.0
    }
}

/// What the operator decided about addresses.
#[derive(Debug)]
pub(crate) struct Policy {
    allow: Vec<IpNet>,
    hosts: HashMap<String, SocketAddr>,
}

impl Policy {
    pub(crate) fn new(allow: Vec<IpNet>, hosts: &HashMap<String, SocketAddr>) -> Self {
        let hosts = hosts.iter().map(|(name, address)| (plain_host(name), *address)).collect();
        Self { allow, hosts }
    }

    /// The fixed address of a host, if the operator gave it one. `host` is as [`plain_host`] makes it.
    pub(crate) fn fixed(&self, host: &str) -> Option<Permitted> {
        self.hosts.get(host).copied().map(Permitted)
    }

    /// `address`, if Workers may reach it.
    pub(crate) fn permit(&self, address: SocketAddr) -> Option<Permitted> {
        let ip = address.ip().to_canonical();
        let is_permitted = is_public(ip) || self.allow.iter().any(|network| network.contains(&ip));
        is_permitted.then(|| Permitted(SocketAddr::new(ip, address.port())))
    }
}

/// A host as it is compared: lower case, no brackets, no final dot.
pub(crate) fn plain_host(host: &str) -> String {
    let unbracketed = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    unbracketed.strip_suffix('.').unwrap_or(unbracketed).to_ascii_lowercase()
}

fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => translated_v4(ip).map_or_else(|| is_public_v6(ip), is_public_v4),
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    let is_within = |(network, bits): (Ipv4Addr, u8)| {
        let host_bits = 32 - u32::from(bits);
        (ip.to_bits() ^ network.to_bits()).checked_shr(host_bits).unwrap_or(0) == 0
    };
    !NOT_PUBLIC_V4.into_iter().any(is_within)
}

fn is_public_v6(ip: Ipv6Addr) -> bool {
    let is_within = |(network, bits): (Ipv6Addr, u8)| {
        let host_bits = 128 - u32::from(bits);
        (ip.to_bits() ^ network.to_bits()).checked_shr(host_bits).unwrap_or(0) == 0
    };
    is_within(PUBLIC_V6) && !NOT_PUBLIC_V6.into_iter().any(is_within)
}

/// The IPv4 address behind `64:ff9b::/96` (NAT64, RFC 6052). On networks without IPv4 every older host looks like this,
/// so it is judged by what is behind it; a network's own NAT64 prefix cannot be known and is the operator's to mind.
fn translated_v4(ip: Ipv6Addr) -> Option<Ipv4Addr> {
    let [0x64, 0xff9b, 0, 0, 0, 0, high, low] = ip.segments() else { return None };
    let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
    Some(Ipv4Addr::new(a, b, c, d))
}

#[cfg(test)]
mod tests {
    use std::{collections::HashMap, net::SocketAddr};

    use super::Policy;

    fn policy(allow: &[&str]) -> Policy {
        Policy::new(allow.iter().map(|network| network.parse().unwrap()).collect(), &HashMap::new())
    }

    fn permits(policy: &Policy, ip: &str) -> bool {
        policy.permit(SocketAddr::new(ip.parse().unwrap(), 443)).is_some()
    }

    #[test]
    fn what_is_not_the_public_internet_is_refused() {
        let refused = [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "100.64.0.1",
            "100.100.100.200",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.255.254",
            "168.63.129.16",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.192",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.9",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::7f00:1",
            "::ffff:127.0.0.1",
            "::ffff:10.1.2.3",
            "::ffff:169.254.169.254",
            "64:ff9b::7f00:1",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::808:808",
            "100::1",
            "2001::1",
            "2001:db8::1",
            "2002:7f00:1::1",
            "2002:808:808::1",
            "3fff::1",
            "5f00::1",
            "fc00::1",
            "fd00:ec2::254",
            "fd20:ce::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ];
        for ip in refused {
            assert!(!permits(&policy(&[]), ip), "{ip}");
        }
    }

    #[test]
    fn the_public_internet_is_not_refused() {
        let permitted = [
            "1.1.1.1",
            "8.8.8.8",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "168.63.129.15",
            "169.253.255.255",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.0",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "2606:4700:4700::1111",
            "2a00::1",
            "2001:200::1",
            "::ffff:8.8.8.8",
            "64:ff9b::808:808",
        ];
        for ip in permitted {
            assert!(permits(&policy(&[]), ip), "{ip}");
        }
    }

    #[test]
    fn an_allowed_network_is_reached_and_no_other() {
        let policy = policy(&["10.1.0.0/16", "fd00:1::/32"]);
        for (ip, expected) in [
            ("10.1.2.3", true),
            ("::ffff:10.1.2.3", true),
            ("10.2.0.1", false),
            ("fd00:1::5", true),
            ("fd00:2::5", false),
        ] {
            assert_eq!(permits(&policy, ip), expected, "{ip}");
        }
    }

    #[test]
    fn a_mapped_address_is_dialled_as_the_address_that_was_judged() {
        let permitted = policy(&[]).permit("[::ffff:8.8.8.8]:53".parse().unwrap()).unwrap();
        assert_eq!(permitted.address(), "8.8.8.8:53".parse().unwrap());
    }
}
