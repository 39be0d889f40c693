//! Lines of `/proc/net/tcp`.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

use super::{Reach, parse, reach};

const HEADER: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode";

#[test]
#[cfg(target_endian = "little")]
fn a_listening_line_gives_its_address_and_inode() {
    let rest = "00000000:00000000 00:00000000 00000000  1000        0 31337 1 0000000000000000 100 0 0 10 0";
    let cases = [
        ("0100007F:1F90 00000000:0000 0A", Some("127.0.0.1:8080")),
        ("00000000:0016 00000000:0000 0A", Some("0.0.0.0:22")),
        ("00000000000000000000000001000000:1F90 00000000000000000000000000000000:0000 0A", Some("[::1]:8080")),
        ("0000000000000000FFFF00000100007F:1F90 00000000000000000000000000000000:0000 0A", Some("[::ffff:127.0.0.1]:8080")),
        ("0100007F:1F90 0100007F:9999 01", None),
        ("0100007F:1F90 00000000:0000 06", None),
        ("0100007:1F90 00000000:0000 0A", None),
        ("0100007F:11F90 00000000:0000 0A", None),
        ("0100007F 00000000:0000 0A", None),
    ];
    for (fields, expected) in cases {
        let found = parse(&format!("   0: {fields} {rest}\n"));
        assert_eq!(found, expected.map(|address| (address.parse().unwrap(), 31337)), "{fields}");
    }
    for line in ["", HEADER, "   0: 0100007F:1F90 00000000:0000 0A", "0: ééééé:1 x 0A a b c d e 5"] {
        assert_eq!(parse(line), None, "{line}");
    }
}

#[test]
fn a_bound_address_reaches_itself_or_everything() {
    let cases = [
        ("127.0.0.1:80", "127.0.0.1:80", Some(Reach::Exact)),
        ("127.0.0.1:80", "127.0.0.1:81", None),
        ("127.0.0.2:80", "127.0.0.1:80", None),
        ("0.0.0.0:80", "127.0.0.1:80", Some(Reach::Wildcard)),
        ("[::]:80", "127.0.0.1:80", Some(Reach::Wildcard)),
        ("[::]:80", "[::1]:80", Some(Reach::Wildcard)),
        ("0.0.0.0:80", "[::1]:80", None),
        ("[::ffff:127.0.0.1]:80", "127.0.0.1:80", Some(Reach::Exact)),
        ("0.0.0.0:80", "0.0.0.0:80", Some(Reach::Exact)),
    ];
    for (bound, address, expected) in cases {
        assert_eq!(reach(bound.parse().unwrap(), address.parse().unwrap()), expected, "{bound} {address}");
    }
}
