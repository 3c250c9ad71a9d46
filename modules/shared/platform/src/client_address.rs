//! Where a request comes from, behind proxies that are known.
//!
//! `X-Forwarded-For` is what everyone before us says, and the client may say anything. So it is only read if the peer
//! itself is a trusted proxy, and from its right end, where the nearest proxy wrote: the first address there that is no
//! trusted proxy is the client. Whatever stands left of it is the client's own word.

use std::net::{IpAddr, Ipv6Addr};

use actix_web::{HttpRequest, web};
use ipnet::IpNet;
use thiserror::Error;

const X_FORWARDED_FOR: &str = "x-forwarded-for";
const X_FORWARDED_PROTO: &str = "x-forwarded-proto";

/// The proxies whose word is taken. The server keeps it as `web::Data`; without it nobody is trusted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrustedProxies(Vec<IpNet>);

/// Why a text names no proxy.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{0}` is no address and no network, such as 10.1.2.3 or 10.0.0.0/8")]
pub struct NoNetwork(String);

impl TrustedProxies {
    /// From addresses and networks in CIDR form.
    pub fn parse<S: AsRef<str>>(list: &[S]) -> Result<Self, NoNetwork> {
        let network = |text: &S| {
            let text = text.as_ref().trim();
            let network = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
            network.map_err(|_| NoNetwork(text.to_owned()))
        };
        list.iter().map(network).collect::<Result<_, _>>().map(Self)
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }
}

/// The address of the client; `None` if the request came by no network.
pub fn client_address(request: &HttpRequest) -> Option<IpAddr> {
    let peer = request.peer_addr()?.ip().to_canonical();
    let Some(proxies) = request.app_data::<web::Data<TrustedProxies>>() else {
        return Some(peer);
    };
    let headers: Vec<&[u8]> =
        request.headers().get_all(X_FORWARDED_FOR).map(|value| value.as_bytes()).collect();
    Some(behind(peer, &headers, proxies))
}

/// Whether the client came over TLS, by the word of a proxy that is trusted. The server itself speaks plain HTTP only.
pub fn came_over_tls(request: &HttpRequest) -> bool {
    let peer = request.peer_addr().map(|peer| peer.ip().to_canonical());
    let proxies = request.app_data::<web::Data<TrustedProxies>>();
    // The last word is the one of the proxy that is nearest; what stands before it came from further out.
    let scheme = request.headers().get_all(X_FORWARDED_PROTO).last();
    let scheme = scheme.and_then(|value| value.as_bytes().rsplit(|byte| *byte == b',').next());
    peer.zip(proxies).is_some_and(|(peer, proxies)| proxies.trusts(peer))
        && scheme.is_some_and(|scheme| scheme.trim_ascii().eq_ignore_ascii_case(b"https"))
}

/// Walks from the peer outwards as long as the one who speaks is trusted.
fn behind(peer: IpAddr, forwarded_for: &[&[u8]], proxies: &TrustedProxies) -> IpAddr {
    let mut client = peer;
    let hops = forwarded_for.iter().rev().flat_map(|line| line.rsplit(|byte| *byte == b','));
    for hop in hops {
        if !proxies.trusts(client) {
            break;
        }
        // A proxy that knows nothing better than `unknown` leaves itself as the last address that is certain.
        let Some(address) = std::str::from_utf8(hop).ok().and_then(address) else {
            break;
        };
        client = address;
    }
    client
}

/// `10.1.2.3`, `10.1.2.3:80`, `2001:db8::1` or `[2001:db8::1]:80`.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let bare = || text.strip_prefix('[')?.strip_suffix(']')?.parse::<IpAddr>().ok();
    text.parse::<IpAddr>()
        .ok()
        .or_else(|| text.parse::<std::net::SocketAddr>().ok().map(|socket| socket.ip()))
        .or_else(bare)
        .map(|address| address.to_canonical())
}

/// What counts as one client: an IPv6 subscriber has a whole /64 and could come from another address each time.
pub fn counted_as(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn client(peer: &str, forwarded_for: &[&str], trusted: &[&str]) -> IpAddr {
        let request = forwarded_for
            .iter()
            .fold(TestRequest::default().peer_addr((ip(peer), 4711).into()), |request, line| {
                request.append_header((X_FORWARDED_FOR, *line))
            });
        let proxies = TrustedProxies::parse(trusted).unwrap();
        client_address(&request.app_data(web::Data::new(proxies)).to_http_request()).unwrap()
    }

    #[test]
    fn nobody_is_believed_unless_told() {
        assert_eq!(client("10.0.0.1", &["1.2.3.4"], &[]), ip("10.0.0.1"));
        assert_eq!(client("9.9.9.9", &["1.2.3.4"], &["10.0.0.0/8"]), ip("9.9.9.9"));
        let bare = TestRequest::default().peer_addr((ip("10.0.0.1"), 1).into());
        let bare = bare.insert_header((X_FORWARDED_FOR, "1.2.3.4")).to_http_request();
        assert_eq!(client_address(&bare), Some(ip("10.0.0.1")));
        assert_eq!(client_address(&TestRequest::default().to_http_request()), None);
    }

    #[test]
    fn what_the_client_itself_wrote_is_not_read() {
        let trusted = ["10.0.0.0/8", "192.168.7.7"];
        assert_eq!(client("10.0.0.1", &["6.6.6.6, 1.2.3.4"], &trusted), ip("1.2.3.4"));
        assert_eq!(client("10.0.0.1", &["6.6.6.6", "1.2.3.4, 192.168.7.7"], &trusted), ip("1.2.3.4"));
        assert_eq!(client("10.0.0.1", &["6.6.6.6,10.9.9.9, 1.2.3.4"], &trusted), ip("1.2.3.4"));
        // Nobody but proxies: the furthest of them asked.
        assert_eq!(client("10.0.0.1", &["10.0.0.3, 10.0.0.2"], &trusted), ip("10.0.0.3"));
        assert_eq!(client("10.0.0.1", &[], &trusted), ip("10.0.0.1"));
    }

    #[test]
    fn an_address_that_cannot_be_read_ends_the_walk() {
        for garbage in ["unknown", "", "1.2.3", "6.6.6.6, unknown", "1.2.3.4 5"] {
            assert_eq!(client("10.0.0.1", &[garbage], &["10.0.0.0/8"]), ip("10.0.0.1"), "{garbage}");
        }
        assert_eq!(client("10.0.0.1", &["6.6.6.6, x, 10.0.0.2"], &["10.0.0.0/8"]), ip("10.0.0.2"));
    }

    #[test]
    fn addresses_come_in_several_forms() {
        let trusted = ["10.0.0.0/8", "fd00::/8"];
        for (written, read) in [
            ("1.2.3.4:5678", "1.2.3.4"),
            ("2001:db8::1", "2001:db8::1"),
            ("[2001:db8::1]:443", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("::ffff:1.2.3.4", "1.2.3.4"),
        ] {
            assert_eq!(client("10.0.0.1", &[written], &trusted), ip(read), "{written}");
            assert_eq!(client("::ffff:10.0.0.1", &[written], &trusted), ip(read), "{written}");
            assert_eq!(client("fd00::1", &[written], &trusted), ip(read), "{written}");
        }
    }

    #[test]
    fn a_network_of_ipv6_counts_as_one() {
        assert_eq!(counted_as(ip("2001:db8:1:2:3:4:5:6")), ip("2001:db8:1:2::"));
        assert_ne!(counted_as(ip("2001:db8:1:2::1")), counted_as(ip("2001:db8:1:3::1")));
        assert_eq!(counted_as(ip("::ffff:1.2.3.4")), ip("1.2.3.4"));
        assert_ne!(counted_as(ip("1.2.3.4")), counted_as(ip("1.2.3.5")));
    }

    #[test]
    fn a_list_names_what_is_wrong_in_it() {
        assert!(TrustedProxies::parse(&[" 127.0.0.1 ", "::1", "10.0.0.0/8", "fd00::/8"]).is_ok());
        let refusal = TrustedProxies::parse(&["10.0.0.1", "nginx"]).unwrap_err();
        assert!(refusal.to_string().contains("`nginx`"), "{refusal}");
    }
}
